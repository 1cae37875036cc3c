// Keeps the page of passes up to date: told by the server that something has
// changed, it loads the page again and puts the new list in place of the old.
// Without it the page works the same, by reloading.
"use strict";
(function () {
  if (!document.body.hasAttribute("data-live") || !window.EventSource) return;
  var signal = document.getElementById("signal");
  var news = document.getElementById("news");
  var loading = false;
  var again = false;

  function refresh() {
    if (loading) { again = true; return; }
    loading = true;
    fetch(location.href, { credentials: "same-origin", cache: "no-store", headers: { Accept: "text/html" } })
      .then(function (answer) {
        if (answer.redirected && new URL(answer.url).pathname === "/sign-in") { location.reload(); }
        return answer.ok ? answer.text() : Promise.reject(answer.status);
      })
      .then(show)
      .catch(function () { say(false); })
      .then(function () {
        loading = false;
        if (again) { again = false; refresh(); }
      });
  }

  function show(text) {
    var page = new DOMParser().parseFromString(text, "text/html");
    var fresh = page.getElementById("live");
    var old = document.getElementById("live");
    if (!fresh || !old) return;
    var known = {};
    var open = {};
    old.querySelectorAll("details").forEach(function (d) { known[d.id] = true; open[d.id] = d.open; });
    var before = document.createElement("div");
    before.append(old.cloneNode(true));
    before.querySelectorAll("details").forEach(function (d) { d.open = false; });
    before.querySelectorAll(".new").forEach(function (li) { li.classList.remove("new"); });
    if (before.firstChild.innerHTML === fresh.innerHTML) return;
    var focused = document.activeElement && document.activeElement.closest("details");
    fresh.querySelectorAll("details").forEach(function (d) {
      if (open[d.id]) d.open = true;
      if (!known[d.id]) d.parentElement.classList.add("new");
    });
    old.replaceWith(document.adoptNode(fresh));
    if (focused) {
      var same = document.getElementById(focused.id);
      if (same) same.querySelector("summary").focus({ preventScroll: true });
    }
    news.textContent = "";
    setTimeout(function () { news.textContent = news.dataset.text; }, 50);
  }

  function say(on) {
    signal.hidden = false;
    signal.textContent = on ? signal.dataset.up : signal.dataset.down;
    signal.classList.toggle("off", !on);
  }

  var source = new EventSource("/events");
  source.addEventListener("open", function () { say(true); });
  source.addEventListener("passes", refresh);
  source.addEventListener("error", function () {
    say(false);
    // Refused outright (signed out, for instance): the page's own address
    // says what to do. The browser itself tries again after a lost line.
    if (source.readyState === EventSource.CLOSED) setTimeout(refresh, 5000);
  });
}());
