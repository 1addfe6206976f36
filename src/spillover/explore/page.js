// What the page does in the browser: the detail of a cell, arrow keys in a heatmap, files, and the address.
window.spillover = {
  keepAddress(query) {
    if (query) history.replaceState(null, "", query);
  },
  download(payload) {
    if (!payload) return;
    const file = JSON.parse(payload);
    const bytes = Uint8Array.from(atob(file.data), (char) => char.charCodeAt(0));
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([bytes], { type: file.mime }));
    link.download = file.name;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10000);
  },
  showTokens(cell) {
    const section = cell.closest(".sp-lens");
    section.querySelectorAll("[aria-pressed]").forEach((other) => other.removeAttribute("aria-pressed"));
    cell.setAttribute("aria-pressed", "true");
    const detail = section.querySelector(".sp-detail");
    detail.replaceChildren();
    const heading = document.createElement("strong");
    heading.textContent = cell.dataset.place;
    const list = document.createElement("ol");
    for (const line of cell.dataset.tokens.split("\n")) {
      const [share, token] = line.split("\t");
      const item = document.createElement("li");
      const word = document.createElement("bdi");
      word.dir = "auto";
      word.textContent = token;
      item.append(word, ` ${share}`);
      list.append(item);
    }
    detail.append(heading, list);
  },
};
document.addEventListener("click", (event) => {
  const cell = event.target.closest(".sp-cell");
  if (cell) window.spillover.showTokens(cell);
});
document.addEventListener("keydown", (event) => {
  const cell = event.target.closest?.(".sp-cell");
  const step = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] }[event.key];
  if (!cell || !step) return;
  const row = cell.closest("tr");
  const next = row.parentElement.rows[row.sectionRowIndex + step[0]]?.cells[cell.closest("td").cellIndex + step[1]];
  const button = next?.querySelector(".sp-cell");
  if (button) {
    event.preventDefault();
    button.focus();
  }
});
