// In words of its own, in both pages: their script did not come, or was not understood. It is asked for once more.
(function () {
  var again, here = document.documentElement.dataset, say = function (words) {
    var place = document.querySelector('#status,.board-says');
    clearTimeout(slow);
    if (place && !here.alive) place.textContent = words + ' Reload to try again.', here.told = 'yes'; // for CSS
  };
  var slow = setTimeout(say, 8000, 'The script of this page has not come: the server is slow or sends nothing.');
  addEventListener('error', function (event) {
    var address = event.target.src || event.filename, why = 'no network, no server, or a sign-in page in between';
    if (again || here.alive || !/(book|page)\.js\?/.test(address)) return;
    again = fetch(address, {cache: 'reload'}).then(function (answer) {
      why = answer.ok ? 'it broke off, or is not packed as the server says' : 'the server answered ' + answer.status;
      return answer.ok ? answer.text() : Promise.reject();
    }).then(function (text) { // whatever type the server gives it, it is a script
      try { (0, eval)(text); } catch (error) {
        say(/'<'/.test(error.message) ? 'Instead of its script a web page came, from the server or a filter.' :
          'The script of this page arrived damaged, or this browser is too old for it (' + error.message + ').');
      }
    }, function () { say('The script of this page did not come: ' + why + '.'); });
  }, true);
})();
