// Before the first paint, so that nobody who works in the dark sees a white flash. A file of its own: the page's policy
// lets no script within it run.
(function () {
  var wanted = null;
  try {
    wanted = localStorage.getItem('trueup-color-scheme');
  } catch (_) {
    // A browser that keeps nothing still shows the page.
  }
  if (wanted !== 'light' && wanted !== 'dark') {
    wanted = matchMedia('(prefers-color-scheme: dark)').matches ? 'dark' : 'light';
  }
  document.documentElement.setAttribute('data-mantine-color-scheme', wanted);
})();
