// Joins every player's picture to its sound: a cursor that follows, and seeking by pointer and keyboard. Without this
// script the figure and the browser's own controls remain.
(() => {
for (const root of document.querySelectorAll('.aldm:not([data-live])')) {
  root.dataset.live = '';
  const theme = () => {
    root.style.colorScheme = getComputedStyle(root).color.match(/\d+/)[0] > 127 ? 'dark' : 'light';
  };
  theme();
  root.addEventListener('pointerenter', theme);
  for (const figure of root.querySelectorAll('figure')) {
    const audio = figure.querySelector('audio'), bar = figure.querySelector('.aldm-seek');
    const cursor = bar.querySelector('i'), axis = +bar.dataset.axis, end = +bar.dataset.end;
    const set = values => { for (const name in values) bar.setAttribute(name, values[name]); };
    const show = () => {
      const t = Math.min(audio.currentTime, end);
      cursor.style.left = 100 * t / axis + '%';
      set({'aria-valuenow': t.toFixed(2), 'aria-valuetext': t.toFixed(1) + ' of ' + end.toFixed(1) + ' seconds'});
    };
    const follow = () => { show(); if (!audio.paused) requestAnimationFrame(follow); };
    const seek = t => { audio.currentTime = Math.max(0, Math.min(end - 0.01, t)); show(); };
    const point = e => { const r = bar.getBoundingClientRect(); seek((e.clientX - r.left) / r.width * axis); };
    const keys = {ArrowLeft: -0.25, ArrowDown: -0.25, PageDown: -1, ArrowRight: 0.25, ArrowUp: 0.25, PageUp: 1};
    set({role: 'slider', tabindex: 0, 'aria-valuemin': 0, 'aria-valuemax': end,
      'aria-label': 'Position in ' + audio.getAttribute('aria-label')});
    show();
    audio.addEventListener('play', () => {
      for (const other of document.querySelectorAll('audio')) if (other !== audio) other.pause();
      follow();
    });
    for (const event of ['timeupdate', 'seeked', 'pause']) audio.addEventListener(event, show);
    bar.addEventListener('pointerdown', e => { if (!e.button) { bar.setPointerCapture(e.pointerId); point(e); } });
    bar.addEventListener('pointermove', e => { if (bar.hasPointerCapture(e.pointerId)) point(e); });
    bar.addEventListener('keydown', e => {
      const to = e.key in keys ? audio.currentTime + keys[e.key] : {Home: 0, End: end}[e.key];
      if (e.ctrlKey || e.metaKey || e.altKey || (to === undefined && e.key !== ' ')) return;
      e.preventDefault();
      e.stopPropagation();
      if (e.key !== ' ') seek(to); else if (audio.paused) audio.play(); else audio.pause();
    });
  }
}})();
