"use strict";
// Charts of a page: draws each specification of #charts-data in the element that names it, and saves its data.
(() => {
  const charts = JSON.parse(document.getElementById("charts-data").textContent);
  const quoted = (value) => {
    const text = value === null || value === undefined ? "" : String(value);
    return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
  };
  const csv = (rows) => {
    const columns = Object.keys(rows[0] || {});
    return [columns, ...rows.map((row) => columns.map((name) => row[name]))]
      .map((cells) => cells.map(quoted).join(",")).join("\n") + "\n";
  };
  const save = (text, type, name) => {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([text], { type }));
    link.download = name;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  };
  const button = (words, action) => {
    const element = document.createElement("button");
    element.type = "button";
    element.textContent = words;
    element.addEventListener("click", action);
    return element;
  };
  for (const { name, spec } of charts) {
    const place = document.querySelector(`[data-chart="${CSS.escape(name)}"]`);
    const options = {
      ast: true, renderer: "svg", actions: false, defaultStyle: false, tooltip: { disableDefaultStyle: true },
    };
    vegaEmbed(place, spec, options).then(({ view }) => {
      const saves = document.createElement("div");
      saves.className = "saves";
      saves.append(
        button("Save data (CSV)", () => save(csv(spec.data.values), "text/csv", `${name}.csv`)),
        button("Save picture (SVG)", () => view.toSVG().then((svg) => save(svg, "image/svg+xml", `${name}.svg`))),
      );
      place.parentElement.querySelector("figcaption").after(saves);
      place.dataset.drawn = "yes";
    });
  }
})();
