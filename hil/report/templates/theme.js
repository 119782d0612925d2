"use strict";
// Automatic, light or dark; remembered where the browser lets a page from disk remember anything.
(() => {
  const button = document.getElementById("theme");
  const names = ["automatic", "light", "dark"];
  let now = "automatic";
  try {
    now = localStorage.getItem("hil-theme") || now;
  } catch {
    /* a page from disk may have no storage */
  }
  const apply = () => {
    if (!names.includes(now)) now = "automatic";
    if (now === "automatic") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = now;
    button.textContent = `Theme: ${now}`;
  };
  button.addEventListener("click", () => {
    now = names[(names.indexOf(now) + 1) % names.length];
    apply();
    try {
      localStorage.setItem("hil-theme", now);
    } catch {
      /* as above */
    }
  });
  apply();
})();
