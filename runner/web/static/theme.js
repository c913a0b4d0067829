// Runs before the first paint, so that a chosen theme never flashes. Classic script on purpose.
(() => {
  try {
    const chosen = localStorage.getItem("hermes.theme");
    if (chosen === "dark" || chosen === "light") document.documentElement.dataset.theme = chosen;
  } catch { /* storage may be switched off; the system's theme is used */ }
})();
