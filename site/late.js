// In words of its own, in both pages: their script did not come, or was not understood. It is asked for once more.
(function () {
  var again, say = function (words) {
    var place = document.querySelector('#status,.board-says');
    if (place && !document.documentElement.dataset.alive) place.textContent = words + ' Reload to try again.';
  };
  addEventListener('error', function (event) {
    var address = event.target.src || event.filename;
    if (document.documentElement.dataset.alive || !/(book|page)\.js\?/.test(address)) return;
    if (again) return say(event.target.src ? 'The script of this page did not come: no network, or no server.' :
      /'<'/.test(event.message) ? 'Instead of its script a web page came, from the server or a filter on the way.' :
        'The script of this page arrived damaged, or this browser is too old for it (' + event.message + ').');
    again = document.createElement('script');
    again.src = address + '&again=' + Date.now();
    document.body.append(again);
  }, true);
  setTimeout(say, 8000, 'The script of this page has not come: the server is slow or sends nothing.');
})();
