// What every page has: light or dark as the system says, until the button says otherwise.
(() => {
  "use strict";
  const KEY = "lungseg-theme";
  const root = document.documentElement;
  const kept = () => {
    try { return localStorage.getItem(KEY); } catch { return null; }
  };
  const dark = () => root.dataset.theme
    ? root.dataset.theme === "dark"
    : matchMedia("(prefers-color-scheme: dark)").matches;
  if (kept()) root.dataset.theme = kept();
  addEventListener("DOMContentLoaded", () => {
    document.getElementById("theme").addEventListener("click", () => {
      root.dataset.theme = dark() ? "light" : "dark";
      try { localStorage.setItem(KEY, root.dataset.theme); } catch { /* for this page alone */ }
    });
  });
  // What is folded is printed too.
  addEventListener("beforeprint", () => {
    for (const one of document.querySelectorAll("details")) one.open = true;
  });
})();
