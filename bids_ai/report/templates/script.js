(() => {
  "use strict";
  const all = (selector, root) => Array.from((root || document).querySelectorAll(selector));

  // Contents: open beside the text, folded above it on a phone.
  const contents = document.querySelector(".toc details");
  if (contents && window.matchMedia("(max-width:900px)").matches) contents.open = false;
  const links = new Map(all(".toc a").map(a => [decodeURIComponent(a.hash.slice(1)), a]));
  if ("IntersectionObserver" in window) {
    const seen = new IntersectionObserver(entries => entries.forEach(entry => {
      if (!entry.isIntersecting) return;
      links.forEach(a => { a.classList.remove("here"); a.removeAttribute("aria-current"); });
      const a = links.get(entry.target.id);
      if (a) { a.classList.add("here"); a.setAttribute("aria-current", "true"); }
    }), { rootMargin: "0px 0px -75% 0px" });
    links.forEach((_, id) => { const place = document.getElementById(id); if (place) seen.observe(place); });
  }

  // Figures with two layers: show one, the other, or both in turn.
  const show = (root, layer) => {
    all("img[data-layer]", root).forEach(img => { img.hidden = img.dataset.layer !== layer; });
  };
  const press = (bar, button) => all("button", bar).forEach(
    other => other.setAttribute("aria-pressed", String(other === button)));
  all(".layers").forEach(figure => {
    const bar = figure.querySelector(".bar");
    let timer = 0;
    bar.hidden = false;
    bar.addEventListener("click", event => {
      const button = event.target.closest("button");
      if (!button) return;
      window.clearInterval(timer);
      press(bar, button);
      if (button.dataset.show !== "play") { show(figure, button.dataset.show); return; }
      let second = false;
      timer = window.setInterval(() => { second = !second; show(figure, second ? "fixed" : "moving"); }, 900);
    });
  });

  // Viewer: a figure over the whole window.
  const dialog = document.getElementById("viewer");
  const frames = all("a.frame");
  if (dialog && dialog.showModal) {
    const stage = dialog.querySelector(".stage");
    const image = stage.querySelector("img");
    const name = dialog.querySelector(".name");
    const zoom = dialog.querySelector("[data-do=zoom]");
    let at = 0;
    const open = index => {
      at = (index + frames.length) % frames.length;
      const shown = frames[at].querySelector("img:not([hidden])") || frames[at].querySelector("img");
      image.src = shown.getAttribute("src");
      image.alt = shown.alt;
      name.textContent = frames[at].dataset.name || "";
      stage.classList.remove("full");
      zoom.setAttribute("aria-pressed", "false");
      if (!dialog.open) dialog.showModal();
    };
    const enlarge = () => {
      const full = stage.classList.toggle("full");
      stage.style.setProperty("--zoom", Math.max(1000, Math.round(stage.clientWidth * 2)) + "px");
      zoom.setAttribute("aria-pressed", String(full));
    };
    frames.forEach((frame, index) => frame.addEventListener("click", event => {
      if (event.ctrlKey || event.metaKey || event.shiftKey) return;
      event.preventDefault();
      open(index);
    }));
    dialog.addEventListener("click", event => {
      const button = event.target.closest("button");
      if (button) {
        const what = button.dataset.do;
        if (what === "close") dialog.close();
        if (what === "zoom") enlarge();
        if (what === "next") open(at + 1);
        if (what === "previous") open(at - 1);
      } else if (event.target === image) enlarge();
      else if (event.target === stage) dialog.close();
    });
    dialog.addEventListener("keydown", event => {
      if (event.key === "ArrowRight" && !stage.classList.contains("full")) open(at + 1);
      if (event.key === "ArrowLeft" && !stage.classList.contains("full")) open(at - 1);
      if (event.key === "+" || event.key === "-") enlarge();
    });
    dialog.addEventListener("close", () => frames[at].focus());
  }

  // Copying the methods.
  all("button[data-copy]").forEach(button => {
    button.hidden = false;
    button.addEventListener("click", () => {
      const text = document.getElementById(button.dataset.copy).value;
      const done = () => { button.textContent = "Copied"; };
      const byHand = () => {
        const field = document.getElementById(button.dataset.copy);
        field.hidden = false;
        field.select();
        if (document.execCommand("copy")) { field.hidden = true; done(); }
      };
      if (navigator.clipboard) navigator.clipboard.writeText(text).then(done, byHand); else byHand();
    });
  });

  // Tables that are sorted by a column.
  all("table.sortable").forEach(table => {
    const body = table.tBodies[0];
    all("thead th", table).forEach((head, column) => {
      const button = head.querySelector("button.sort");
      if (!button) return;
      button.addEventListener("click", () => {
        const down = head.getAttribute("aria-sort") === "ascending";
        all("thead th", table).forEach(other => other.removeAttribute("aria-sort"));
        head.setAttribute("aria-sort", down ? "descending" : "ascending");
        const key = row => row.cells[column].dataset.sort || "";
        const compare = (a, b) => {
          const [x, y] = [key(a), key(b)];
          if (x === "" || y === "") return (x === "") - (y === "");
          const order = isNaN(x) || isNaN(y) ? x.localeCompare(y, undefined, { numeric: true }) : x - y;
          return down ? -order : order;
        };
        Array.from(body.rows).sort(compare).forEach(row => body.appendChild(row));
      });
    });
  });

  // A box above a table, in whose rows it looks for every word. Without scripts it stays hidden, and all rows are seen.
  all("[data-filter]").forEach(box => {
    const rows = Array.from(box.parentElement.querySelector("table.sortable").tBodies[0].rows);
    const [words, faulty, count] = ["input[type=search]", "input[type=checkbox]", "output"].map(one => box.querySelector(one));
    const texts = rows.map(row => row.textContent.toLowerCase());
    const apply = () => {
      const wanted = words.value.toLowerCase().split(/\s+/).filter(Boolean);
      let shown = 0;
      rows.forEach((row, n) => {
        const errors = faulty && faulty.checked && !(Number(row.cells[3].dataset.sort) > 0);
        row.hidden = errors || !wanted.every(word => texts[n].includes(word));
        shown += !row.hidden;
      });
      count.textContent = shown === rows.length ? "" : shown + " of " + rows.length + " rows";
    };
    [words, faulty].forEach(one => one && one.addEventListener("input", apply));
    box.hidden = false;
    apply();
  });
})();
