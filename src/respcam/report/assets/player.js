/* Player of recordings: the input of the model, its heat, the score over time, and the sound, on common axes. */
"use strict";
(() => {
  const LEFT = 46, RIGHT = 128, SCORE_H = 92, BOTTOM = 24, GAP = 10, TOP = 16;
  const find = (id) => document.getElementById(id);
  const make = (tag, text = "", parent = null) => {
    const node = document.createElement(tag);
    node.textContent = text;
    if (parent) parent.append(node);
    return node;
  };
  const shade = () => matchMedia("(prefers-color-scheme: dark)").matches && !matchMedia("print").matches;
  const inks = () => (shade()
    ? { ink: "#e6e9ec", dim: "#a8b2bb", line: "#353d44", paper: "#14181b", score: "#8ec5ff", event: "#66bb6a", share: "#ffb366" }
    : { ink: "#1d2327", dim: "#55606a", line: "#d9dee2", paper: "#ffffff", score: "#0b57a4", event: "#2e7d32", share: "#c2410c" });
  const percent = (p) => (p >= 0.9995 ? "> 99.9 %" : p < 0.0005 ? "< 0.1 %" : `${(100 * p).toFixed(1)} %`);
  const bytes = (text) => Uint8Array.from(atob(text), (sign) => sign.charCodeAt(0));

  /* Grey levels of a PNG, 0 to 255, highest band first. */
  async function levels(png) {
    const image = new Image();
    image.src = `data:image/png;base64,${png}`;
    await image.decode();
    const canvas = document.createElement("canvas");
    canvas.width = image.width;
    canvas.height = image.height;
    const context = canvas.getContext("2d", { willReadFrequently: true });
    context.drawImage(image, 0, 0);
    const pixels = context.getImageData(0, 0, image.width, image.height).data;
    const grey = new Uint8Array(image.width * image.height);
    for (let i = 0; i < grey.length; i += 1) grey[i] = pixels[4 * i];
    return { width: image.width, height: image.height, grey };
  }

  class Sound {
    constructor() { this.buffers = new Map(); this.source = null; this.at = 0; this.loop = null; this.rate = 1; this.level = 4; }

    get isPlaying() { return this.source !== null; }

    get position() {
      if (!this.source) return this.at;
      let at = this.at + (this.context.currentTime - this.since) * this.rate;
      if (this.loop && at > this.loop.end_s) {
        const length = this.loop.end_s - this.loop.start_s;
        at = this.loop.start_s + ((at - this.loop.start_s) % length);
      }
      return at;
    }

    async buffer(key, flac) {
      this.context ??= new AudioContext();
      if (!this.buffers.has(key)) this.buffers.set(key, await this.context.decodeAudioData(bytes(flac).buffer));
      return this.buffers.get(key);
    }

    async play(key, flac, ended) {
      const buffer = await this.buffer(key, flac);
      this.stop();
      await this.context.resume();
      const source = this.context.createBufferSource();
      source.buffer = buffer;
      source.playbackRate.value = this.rate;
      let last = source;
      if (this.loop) {
        source.loop = true;
        source.loopStart = this.loop.start_s;
        source.loopEnd = this.loop.end_s;
        if (this.at < this.loop.start_s || this.at >= this.loop.end_s) this.at = this.loop.start_s;
        const cut = (type, hz) => {
          for (let order = 0; order < 2; order += 1) {
            const filter = this.context.createBiquadFilter();
            filter.type = type;
            filter.frequency.value = hz * this.rate;
            last.connect(filter);
            last = filter;
          }
        };
        cut("highpass", this.loop.low_hz);
        cut("lowpass", this.loop.high_hz);
      }
      this.gain = this.context.createGain();
      this.gain.gain.value = this.level;
      const limiter = this.context.createDynamicsCompressor();
      limiter.threshold.value = -3;
      limiter.ratio.value = 20;
      last.connect(this.gain).connect(limiter).connect(this.context.destination);
      if (this.at >= buffer.duration - 0.02) this.at = 0;
      this.since = this.context.currentTime;
      source.onended = () => { if (this.source === source) { this.source = null; this.at = 0; ended(); } };
      source.start(0, this.at);
      this.source = source;
    }

    stop() {
      if (!this.source) return;
      this.at = this.position;
      const source = this.source;
      this.source = null;
      source.stop();
    }

    forget() { this.stop(); this.buffers.clear(); this.at = 0; this.loop = null; }
  }

  /* One model's view of a recording: score over time, picture with heat, share of heat per band. */
  class View {
    constructor(player, data, content, events, duration_s) {
      Object.assign(this, { player, data, content, events, duration_s });
      this.root = make("div", "", null);
      this.root.className = "view";
      if (data.title) make("h4", `${data.title}: ${data.words}`, this.root);
      this.plot = make("div", "", this.root);
      this.plot.className = "plot";
      this.canvas = make("canvas", "", this.plot);
      this.canvas.className = "picture";
      this.canvas.tabIndex = 0;
      this.canvas.setAttribute("role", "img");
      this.cursor = make("div", "", this.plot);
      this.cursor.className = "cursor";
      this.frame = make("div", "", this.plot);
      this.frame.className = "box";
      this.frame.hidden = true;
      this.heats = new Map();
      this.bandHeight = Math.max(220, Math.min(320, 4 * content.bands_hz.length));
      player.listen(this);
    }

    /* Rows of the page, lowest band first, that the bands of this model are; models may be fed different bands. */
    get rows() {
      const centres = this.content.bands_hz.map((band) => band[1]);
      const nearest = (hz) => centres.reduce((best, centre, row) => (Math.abs(centre - hz) < Math.abs(centres[best] - hz) ? row : best), 0);
      return (this.data.bands_hz || this.content.bands_hz).map((band) => nearest(band[1]));
    }

    /* A picture of the bands of this model as one of all bands of the page. */
    onAllRows({ width, height, grey }) {
      const n = this.content.bands_hz.length, all = new Uint8Array(width * n);
      this.placed.forEach((row, band) => {
        const from = (height - 1 - band) * width;
        all.set(grey.subarray(from, from + width), (n - 1 - row) * width);
      });
      return { width, height: n, grey: all };
    }

    async load() {
      this.placed = this.rows;
      this.isFed = new Set(this.placed);
      this.mel = this.onAllRows(await levels(this.data.log_mel));
    }

    async heat(method, klass) {
      const place = this.data.classes.indexOf(klass);
      const heat = place < 0 ? null : this.data.heat[method] && this.data.heat[method][place];
      if (!heat) return null;
      const key = `${method} ${place}`;
      if (!this.heats.has(key)) this.heats.set(key, this.onAllRows(await levels(heat.png)));
      const share = new Array(this.content.bands_hz.length).fill(0);
      this.placed.forEach((row, band) => { share[row] = heat.share[band]; });
      const others = this.player.views.map((view) => view.top(method, klass));
      return { ...heat, ...this.heats.get(key), share, colour: heat.top / Math.max(heat.top, ...others, 1e-12) };
    }

    /* Share of the heat in a cell of full colour: the models of a page have one scale. */
    top(method, klass) {
      const of = this.data.heat[method] && this.data.heat[method][this.data.classes.indexOf(klass)];
      return of ? of.top : 0;
    }

    get width() { return this.plot.clientWidth; }
    get right() { return this.width < 560 ? 62 : RIGHT; }
    get innerWidth() { return Math.max(40, this.width - LEFT - this.right); }
    get melTop() { return TOP + SCORE_H + GAP; }
    get height() { return this.melTop + this.bandHeight + BOTTOM; }
    x(time_s) { return LEFT + (this.innerWidth * time_s) / this.duration_s; }
    time(x) { return Math.min(this.duration_s, Math.max(0, ((x - LEFT) / this.innerWidth) * this.duration_s)); }

    /* Bands are rows of equal height; a frequency lies between the centres of two bands. */
    y(hz) {
      const centres = this.content.bands_hz.map((band) => band[1]);
      const n = centres.length;
      let row = centres.findIndex((centre) => centre >= hz);
      if (row < 0) row = n - 1;
      else if (row > 0) row -= 1 - (hz - centres[row - 1]) / (centres[row] - centres[row - 1]);
      return this.melTop + this.bandHeight * (1 - (row + 0.5) / n);
    }

    hz(y) {
      const bands = this.content.bands_hz, n = bands.length;
      const row = Math.min(n - 1, Math.max(0, (1 - (y - this.melTop) / this.bandHeight) * n - 0.5));
      const low = Math.floor(row), high = Math.min(n - 1, low + 1);
      return bands[low][1] + (bands[high][1] - bands[low][1]) * (row - low);
    }

    async draw(state) {
      const heat = await this.heat(state.method, state.klass);
      const scale = window.devicePixelRatio || 1, ink = inks();
      this.canvas.width = Math.round(this.width * scale);
      this.canvas.height = Math.round(this.height * scale);
      this.canvas.style.height = `${this.height}px`;
      const context = this.canvas.getContext("2d");
      context.scale(scale, scale);
      context.font = "12px system-ui, sans-serif";
      context.fillStyle = ink.paper;
      context.fillRect(0, 0, this.width, this.height);
      this.drawPicture(context, heat, state);
      this.drawAxes(context, ink);
      this.drawScore(context, ink, state);
      this.drawShare(context, ink, heat);
      this.canvas.setAttribute("aria-label", `Log-mel spectrogram with the heat for ${this.content.classes[state.klass]}, `
        + `${this.duration_s.toFixed(1)} s. ${this.data.words}`);
      this.canvas.dataset.drawn = `${state.method} ${state.klass} ${state.isHidden ? 0 : state.strength}`;
    }

    drawPicture(context, heat, state) {
      const { width, height, grey } = this.mel, picture = new ImageData(width, height), dark = shade();
      const strength = heat && !state.isHidden ? state.strength / 100 : 0;
      for (let i = 0; i < grey.length; i += 1) {
        const loud = grey[i] / 255;
        const isFed = this.isFed.has(height - 1 - Math.floor(i / width));
        const base = !isFed ? (dark ? 70 : 190) : dark ? 20 + 190 * loud : 250 - 215 * loud;
        const hot = strength ? Math.min(1, Math.pow((heat.colour * heat.grey[i]) / 255, 0.55)) : 0;
        const alpha = Math.min(0.92, hot * strength * 1.3);
        const colour = [232 + 23 * hot, 150 - 100 * hot, 20];
        for (let c = 0; c < 3; c += 1) picture.data[4 * i + c] = base * (1 - alpha) + colour[c] * alpha;
        picture.data[4 * i + 3] = 255;
      }
      const small = document.createElement("canvas");
      small.width = width;
      small.height = height;
      small.getContext("2d").putImageData(picture, 0, 0);
      context.imageSmoothingEnabled = false;
      const spread = this.innerWidth * (width / this.content.frame_rate_hz / this.duration_s);
      context.drawImage(small, LEFT, this.melTop, spread, this.bandHeight);
      if (strength) this.outline(context, heat, spread, dark);
    }

    /* Line around the cells that hold 90 % of the heat: it shows in grey print and to every eye. */
    outline(context, heat, spread, dark) {
      const { width, height, grey } = heat, edge = Math.max(1, 255 * heat.edge);
      const dx = spread / width, dy = this.bandHeight / height;
      const isHot = (row, column) => row >= 0 && row < height && column >= 0 && column < width && grey[row * width + column] >= edge;
      context.beginPath();
      for (let row = 0; row <= height; row += 1) {
        for (let column = 0; column <= width; column += 1) {
          const here = isHot(row, column), x = LEFT + column * dx, y = this.melTop + row * dy;
          if (here !== isHot(row - 1, column)) { context.moveTo(x, y); context.lineTo(x + dx, y); }
          if (here !== isHot(row, column - 1)) { context.moveTo(x, y); context.lineTo(x, y + dy); }
        }
      }
      context.lineWidth = 2.4;
      context.strokeStyle = dark ? "rgba(0,0,0,.75)" : "rgba(255,255,255,.85)";
      context.stroke();
      context.lineWidth = 1.1;
      context.strokeStyle = dark ? "#ffffff" : "#000000";
      context.stroke();
    }

    drawAxes(context, ink) {
      const bottom = this.melTop + this.bandHeight;
      context.fillStyle = ink.dim;
      context.strokeStyle = ink.line;
      context.lineWidth = 1;
      context.textAlign = "right";
      context.textBaseline = "middle";
      const bands = this.content.bands_hz, low = bands[0][1], high = bands[bands.length - 1][1];
      let above = Infinity;
      for (const hz of [100, 200, 300, 400, 500, 750, 1000, 1250, 1500, 1750, 2000, 2500, 3000, 4000, 6000, 8000]) {
        if (hz < low * 0.8 || hz > high * 1.05) continue;
        const y = this.y(hz);
        if (above - y < 15) continue;
        above = y;
        context.fillText(String(hz), LEFT - 6, y);
        context.beginPath();
        context.moveTo(LEFT - 4, y);
        context.lineTo(LEFT, y);
        context.stroke();
      }
      context.fillText("Hz", LEFT - 16, bottom + 12);
      context.textAlign = "center";
      const step = [0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60, 120].find((s) => this.innerWidth * (s / this.duration_s) > 44) || 300;
      for (let t = 0; t <= this.duration_s + 1e-9; t += step) {
        context.fillText(t === 0 ? "0 s" : `${Number(t.toFixed(2))}`, this.x(t), bottom + 12);
      }
      for (const [start, end, label] of this.events) this.drawEvent(context, ink, start, end, label);
    }

    drawEvent(context, ink, start, end, label) {
      const left = this.x(start), right = this.x(Math.min(end, this.duration_s));
      context.fillStyle = ink.event;
      context.fillRect(left, this.melTop - 6, Math.max(2, right - left), 5);
      context.save();
      context.beginPath();
      context.rect(left, TOP - 14, Math.max(50, right - left), 14);
      context.clip();
      context.textAlign = "left";
      context.fillText(label, left, TOP - 7);
      context.restore();
      context.fillStyle = ink.dim;
    }

    drawScore(context, ink, state) {
      const odds = this.data.log_odds.map((row) => row[state.klass]), starts = this.data.start_s;
      const half = this.content.patch_s / 2, top = TOP + 4, bottom = TOP + SCORE_H - 8;
      const largest = Math.max(2, ...odds.map(Math.abs));
      const y = (value) => (top + bottom) / 2 - (value / largest) * (bottom - top) / 2;
      context.strokeStyle = ink.line;
      context.beginPath();
      context.moveTo(LEFT, y(0));
      context.lineTo(LEFT + this.innerWidth, y(0));
      context.stroke();
      context.textAlign = "right";
      context.fillStyle = ink.dim;
      context.fillText(`+${largest.toFixed(0)}`, LEFT - 6, y(largest) + 4);
      context.fillText("0", LEFT - 6, y(0));
      context.fillText(`\u2212${largest.toFixed(0)}`, LEFT - 6, y(-largest) - 4);
      context.strokeStyle = ink.score;
      context.fillStyle = ink.score;
      context.lineWidth = 2;
      context.beginPath();
      starts.forEach((start, number) => {
        const x = this.x(Math.min(start + half, this.duration_s));
        if (number) context.lineTo(x, y(odds[number]));
        else context.moveTo(x, y(odds[number]));
      });
      context.stroke();
      if (starts.length === 1) context.fillRect(LEFT, y(odds[0]) - 1, this.innerWidth, 2);
      context.lineWidth = 1;
      context.textAlign = "left";
      const x = LEFT + this.innerWidth + 8;
      const words = this.right < 100 ? ["log-odds"] : ["log-odds of", this.content.classes[state.klass], "per patch of", `${this.content.patch_s} s`];
      words.forEach((word, row) => this.clipped(context, word, x, top + 6 + 15 * row));
    }

    clipped(context, text, x, y) {
      let word = String(text);
      while (word.length > 3 && context.measureText(word).width > this.right - 10) word = `${word.slice(0, -2)}\u2026`;
      context.fillText(word, x, y);
    }

    drawShare(context, ink, heat) {
      const left = LEFT + this.innerWidth + 8, width = this.right - 14;
      context.fillStyle = ink.dim;
      context.textAlign = "left";
      if (!heat) { this.clipped(context, "no heat", left, this.melTop + 10); return; }
      const n = heat.share.length, row = this.bandHeight / n, most = Math.max(...heat.share, 2 / n);
      context.fillStyle = ink.share;
      heat.share.forEach((share, band) => {
        context.fillRect(left, this.melTop + this.bandHeight - (band + 1) * row, (width * share) / most, Math.max(1, row - 0.5));
      });
      context.setLineDash([4, 3]);
      context.strokeStyle = ink.ink;
      context.beginPath();
      context.moveTo(left + width / n / most, this.melTop);
      context.lineTo(left + width / n / most, this.melTop + this.bandHeight);
      context.stroke();
      context.setLineDash([]);
      context.fillStyle = ink.dim;
      this.clipped(context, this.right < 100 ? "heat" : "heat per band", left, this.melTop - 9);
    }

    mark(time_s, loop) {
      this.cursor.style.left = `${this.x(time_s) - 1}px`;
      this.cursor.style.top = `${TOP}px`;
      this.cursor.style.height = `${this.height - TOP - BOTTOM}px`;
      this.frame.hidden = !loop;
      if (!loop) return;
      this.frame.style.left = `${this.x(loop.start_s)}px`;
      this.frame.style.width = `${this.x(loop.end_s) - this.x(loop.start_s)}px`;
      this.frame.style.top = `${this.y(loop.high_hz)}px`;
      this.frame.style.height = `${this.y(loop.low_hz) - this.y(loop.high_hz)}px`;
    }
  }

  class Player {
    constructor() {
      this.state = { klass: 0, method: 0, strength: 70, isHidden: false };
      this.sound = new Sound();
      this.sounding = "all";
      this.views = [];
      this.order = { key: null, isDown: false };
      this.unit = null;
      this.word = find("player").dataset.unit;
      this.bind();
    }

    /* Shows other recordings in the same page. */
    show(content) {
      this.content = content;
      this.unit = null;
      if (find("units")) this.makeTable();
      if (content.order) return this.open(this.rows().find(({ unit }) => unit.views.length).number);
      const first = content.units.findIndex((unit) => unit.views.length && unit.mistake !== false);
      const open = first >= 0 ? first : content.units.findIndex((unit) => unit.views.length);
      return open >= 0 ? this.open(open) : Promise.resolve();
    }

    /* --- table --- */
    makeTable() {
      find("units").tHead.replaceChildren();
      const head = make("tr", "", find("units").tHead);
      for (const [key, title] of this.content.columns) {
        const cell = make("th", "", head);
        cell.scope = "col";
        cell.dataset.key = key;
        const button = make("button", title, cell);
        button.type = "button";
        button.addEventListener("click", () => this.sort(key));
      }
      this.order = { key: this.content.order || "mistake", isDown: true };
      this.fill();
    }

    sort(key) {
      this.order = { key, isDown: this.order.key === key && !this.order.isDown };
      this.fill();
    }

    rows() {
      const text = find("search").value.toLowerCase(), show = find("show").value;
      const rows = this.content.units.map((unit, number) => ({ unit, number })).filter(({ unit }) => (
        (show === "all" || (show === "mistakes" ? unit.mistake === true : unit.views.length > 0))
        && (!text || Object.values(unit.cells).some((value) => String(value).toLowerCase().includes(text)))
      ));
      const { key, isDown } = this.order;
      const value = ({ unit }) => (key === "mistake" ? (unit.mistake === true) * 2 + Number(unit.cells.p || 0) : unit.cells[key]);
      rows.sort((a, b) => {
        const [left, right] = [value(a), value(b)];
        const isNumber = typeof left === "number" && typeof right === "number";
        const way = isNumber ? left - right : String(left).localeCompare(String(right), undefined, { numeric: true });
        return isDown ? -way : way;
      });
      return rows;
    }

    fill() {
      const body = find("units").tBodies[0], rows = this.rows(), most = 500;
      body.replaceChildren();
      for (const { unit, number } of rows.slice(0, most)) {
        const row = make("tr", "", body);
        row.dataset.number = number;
        if (unit.mistake === true) row.className = "mistake";
        if (number === this.unit) row.classList.add("open");
        for (const [key] of this.content.columns) {
          const value = unit.cells[key] ?? "";
          const cell = make("td", "", row);
          cell.className = key;
          if (typeof value === "number") cell.classList.add("n");
          const text = key.startsWith("p") && typeof value === "number" && key !== "patient" ? percent(value) : String(value);
          if (key === "id" && unit.views.length) {
            const button = make("button", text, cell);
            button.type = "button";
            button.addEventListener("click", () => this.open(number));
          } else cell.textContent = text;
        }
      }
      for (const cell of find("units").tHead.rows[0].cells) {
        const isKey = cell.dataset.key === this.order.key;
        cell.setAttribute("aria-sort", isKey ? (this.order.isDown ? "descending" : "ascending") : "none");
      }
      const n = this.content.units.length, openable = rows.filter(({ unit }) => unit.views.length).length;
      const shown = rows.length > most ? `, the first ${most} shown` : "";
      find("count").textContent = `${rows.length} of ${n} ${this.word}s${shown}; ${openable} open in the player (underlined)`;
    }

    /* --- one recording --- */
    async open(number) {
      const unit = this.content.units[number];
      this.unit = number;
      this.sound.forget();
      this.sounding = "all";
      find("stage").hidden = false;
      find("unit-title").textContent = unit.cells.id;
      const predicted = unit.views[0].predicted;
      for (const view of unit.views) {
        view.words = `predicted ${this.content.classes[view.predicted]}, probability ${percent(view.p[view.predicted])}`;
      }
      const truth = unit.cells.true ? `annotated as ${unit.cells.true}; ` : "";
      const why = unit.reason ? ` Chosen as ${unit.reason}.` : "";
      const verdict = unit.mistake === true ? " A mistake." : "";
      const words = unit.views.length === 1 ? `${truth}${unit.views[0].words}.` : `${truth}${unit.views.length} models.`;
      find("unit-words").textContent = words[0].toUpperCase() + words.slice(1) + verdict + why;
      find("unit-cautions").replaceChildren(...unit.cautions.map((caution) => {
        const item = make("li", `Caution: ${caution}.`);
        item.className = "note";
        return item;
      }));
      this.state.klass = unit.views[0].classes.includes(this.state.klass) && this.hasChosen ? this.state.klass : predicted;
      this.choices("class", unit.views[0].classes, (k) => this.content.classes[k], this.state.klass);
      this.choices("method", this.content.methods.map((_, m) => m), (m) => this.content.methods[m], this.state.method);
      this.views = unit.views.map((data) => new View(this, data, this.content, unit.events, unit.duration_s));
      find("views").replaceChildren(...this.views.map((view) => view.root));
      this.soundChoices(unit);
      if (find("units")) for (const row of find("units").tBodies[0].rows) row.classList.toggle("open", Number(row.dataset.number) === number);
      await Promise.all(this.views.map((view) => view.load()));
      await this.draw();
      this.tick();
    }

    choices(id, values, name, chosen) {
      find(id).replaceChildren(...values.map((value) => {
        const option = make("option", name(value));
        option.value = value;
        return option;
      }));
      find(id).value = chosen;
    }

    soundChoices(unit) {
      const root = find("sounds");
      root.replaceChildren();
      find("play").disabled = !unit.sound;
      if (!unit.sound) { root.textContent = "This page holds no sound."; return; }
      const add = (key, text) => {
        const label = make("label", "", root), input = make("input", "", label);
        Object.assign(input, { type: "radio", name: "sound", value: key, checked: key === this.sounding });
        label.append(` ${text}`);
        input.addEventListener("change", () => { this.sounding = key; if (this.sound.isPlaying) this.play(); });
      };
      const k = unit.views[0].predicted, name = this.content.classes[k];
      add("all", `the whole sound (${name} ${percent(unit.views[0].p[k])})`);
      unit.views.forEach((view, number) => {
        const of = unit.views.length > 1 ? `${view.title}: ` : "", p = (part) => percent(view.parts[part].p[view.predicted]);
        add(`hot ${number}`, `${of}only what is hot (${p("hot")})`);
        add(`rest ${number}`, `${of}the rest (${p("rest")})`);
      });
    }

    get flac() {
      const unit = this.content.units[this.unit], [part, number] = this.sounding.split(" ");
      return part === "all" ? unit.sound : unit.views[number].parts[part].sound;
    }

    async play() {
      find("play").textContent = "Pause";
      await this.sound.play(`${this.unit} ${this.sounding}`, this.flac, () => { find("play").textContent = "Play"; this.tick(); });
      this.tick();
    }

    pause() { this.sound.stop(); find("play").textContent = "Play"; }

    toggle() { if (this.sound.isPlaying) this.pause(); else if (!find("play").disabled) this.play(); }

    seek(time_s) {
      const isPlaying = this.sound.isPlaying;
      this.sound.stop();
      this.sound.at = Math.max(0, time_s);
      if (isPlaying) this.play(); else this.tick();
    }

    box(loop) {
      this.sound.stop();
      this.sound.loop = loop;
      find("unloop").disabled = !loop;
      if (loop && window.respcam.onBox) window.respcam.onBox(loop);
      if (loop) { this.sound.at = loop.start_s; if (!find("play").disabled) this.play(); else this.tick(); } else { this.pause(); this.tick(); }
    }

    tick() {
      const at = this.sound.position;
      for (const view of this.views) view.mark(Math.min(at, view.duration_s), this.sound.loop);
      find("clock").textContent = `${at.toFixed(2)} s`;
      if (this.sound.isPlaying) requestAnimationFrame(() => this.tick());
    }

    async draw() { for (const view of this.views) await view.draw(this.state); }

    blink() {
      this.state.isHidden = !this.state.isHidden;
      const button = find("blink");
      button.setAttribute("aria-pressed", String(this.state.isHidden));
      button.textContent = this.state.isHidden ? "Show the heat (H)" : "Hide the heat (H)";
      this.draw();
    }

    bind() {
      if (find("units")) {
        find("search").addEventListener("input", () => this.fill());
        find("show").addEventListener("change", () => this.fill());
      }
      find("play").addEventListener("click", () => this.toggle());
      find("gain").addEventListener("change", (event) => {
        this.sound.level = Number(event.target.value);
        if (this.sound.gain) this.sound.gain.gain.value = this.sound.level;
      });
      find("slow").addEventListener("change", (event) => {
        const isPlaying = this.sound.isPlaying;
        this.sound.stop();
        this.sound.rate = event.target.checked ? 0.5 : 1;
        if (isPlaying) this.play();
      });
      find("unloop").addEventListener("click", () => this.box(null));
      find("class").addEventListener("change", (event) => { this.state.klass = Number(event.target.value); this.hasChosen = true; this.draw(); });
      find("method").addEventListener("change", (event) => { this.state.method = Number(event.target.value); this.draw(); });
      find("strength").addEventListener("input", (event) => { this.state.strength = Number(event.target.value); this.draw(); });
      find("blink").addEventListener("click", () => this.blink());
      let waiting = 0;
      const again = () => { clearTimeout(waiting); waiting = setTimeout(() => { this.draw(); this.tick(); }, 60); };
      addEventListener("resize", again);
      for (const query of ["(prefers-color-scheme: dark)", "print"]) matchMedia(query).addEventListener("change", () => { this.draw(); this.tick(); });
    }

    listen(view) {
      const canvas = view.canvas;
      let start = null;
      const place = (event) => {
        const area = canvas.getBoundingClientRect();
        return { x: event.clientX - area.left, y: event.clientY - area.top };
      };
      const span = (from, to) => {
        const [a, b] = [view.time(from.x), view.time(to.x)], [c, d] = [view.hz(from.y), view.hz(to.y)];
        return { start_s: Math.min(a, b), end_s: Math.max(a, b), low_hz: Math.min(c, d), high_hz: Math.max(c, d) };
      };
      canvas.addEventListener("pointerdown", (event) => { start = place(event); canvas.setPointerCapture(event.pointerId); });
      canvas.addEventListener("pointermove", (event) => {
        const at = place(event);
        find("pointer").textContent = `${view.time(at.x).toFixed(2)} s, ${view.hz(at.y).toFixed(0)} Hz`;
        if (start && Math.abs(at.x - start.x) > 6) view.mark(this.sound.position, span(start, at));
      });
      canvas.addEventListener("pointerup", (event) => {
        if (!start) return;
        const from = start, to = place(event), loop = span(from, to);
        start = null;
        if (Math.abs(to.x - from.x) > 6 && loop.end_s - loop.start_s > 0.03) this.box(loop);
        else if (from.x >= LEFT) { if (this.sound.loop) this.box(null); this.seek(view.time(from.x)); }
      });
      canvas.addEventListener("pointercancel", () => { start = null; this.tick(); });
      canvas.addEventListener("keydown", (event) => {
        const step = { ArrowLeft: -0.5, ArrowRight: 0.5 }[event.key];
        if (event.key === " ") this.toggle();
        else if (step) this.seek(Math.min(view.duration_s, this.sound.position + step));
        else if (event.key.toLowerCase() === "h") this.blink();
        else if (event.key === "Escape") this.box(null);
        else return;
        event.preventDefault();
      });
    }
  }

  window.respcam = { player: new Player(), onBox: null };
  const embedded = find("player-data");
  if (embedded) window.respcam.player.show(JSON.parse(embedded.textContent));
})();
