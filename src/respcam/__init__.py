"""respcam: which frequencies does a respiratory-sound classifier listen to?"""
