// A table of any number of rows, of which only those near the view are in the page.
//
// Owns: which rows are in the document, their order, moving among them by keys.
// Must never: hide a row that has the focus; keep more rows than a few views.
//
// All rows are equally high. The height is measured, so that larger text or a
// narrow page change it; each row is put in its place by a transform.

import { button, h } from './ui.js';

const BEYOND = 12;

/**
 * Columns: {title, cell(row), class, sort?(row)}. `id(row)` tells rows apart,
 * `size` is the class that says how wide columns are.
 */
export function windowed({ label, columns, id, size }) {
  let all = [];
  let rows = [];
  let height = 48;
  let order = { column: columns[0], down: false };
  let keep = () => true;
  const shown = new Map();
  const body = h('div', { class: 'rows', role: 'rowgroup' });
  const headers = columns.map((column) => {
    const sort = column.sort && button(column.title, () => sortBy(column), { class: 'sort' });
    return h('div', { role: 'columnheader', class: column.class }, sort || column.title);
  });
  const head = h('div', { role: 'rowgroup', class: 'head' }, h('div', { role: 'row', class: 'row', 'aria-rowindex': '1' }, headers));
  const element = h('div', { class: `windowed ${size}`, role: 'table', 'aria-label': label }, head, body);

  function sortBy(column) {
    order = { column, down: order.column === column && !order.down };
    arrange();
  }

  function arrange() {
    const { column, down } = order;
    headers.forEach((header, number) => {
      const sort = columns[number] === column ? (down ? 'descending' : 'ascending') : 'none';
      if (columns[number].sort) header.setAttribute('aria-sort', sort);
    });
    const by = column.sort;
    // Rows that are alike stay in the order of their keys.
    rows = all.filter(keep);
    rows.sort((one, other) => (by(one) < by(other) ? -1 : by(one) > by(other) ? 1 : 0));
    if (down) rows.reverse();
    element.setAttribute('aria-rowcount', rows.length + 1);
    place();
  }

  function make(row) {
    const cells = columns.map((column) =>
      h('div', { role: 'cell', class: column.class }, column.cell(row)));
    return h('div', { role: 'row', class: 'row' }, cells);
  }

  function place() {
    const top = body.getBoundingClientRect().top;
    const first = Math.max(0, Math.floor(-top / height) - BEYOND);
    const last = Math.min(rows.length, Math.ceil((innerHeight - top) / height) + BEYOND);
    const wanted = new Map();
    for (let at = first; at < last; at += 1) wanted.set(rows[at], at);
    const focused = [...shown].find(([, line]) => line.contains(document.activeElement));
    if (focused) {
      const at = rows.indexOf(focused[0]);
      if (at >= 0) wanted.set(focused[0], at);
    }
    for (const [row, line] of shown) {
      if (!wanted.has(row)) {
        line.remove();
        shown.delete(row);
      }
    }
    body.style.height = `${rows.length * height}px`;
    const ordered = [...wanted].sort(([, one], [, other]) => one - other);
    let before = body.firstChild;
    for (const [row, at] of ordered) {
      let line = shown.get(row);
      if (!line) {
        line = make(row);
        shown.set(row, line);
      }
      line.style.transform = `translateY(${at * height}px)`;
      line.setAttribute('aria-rowindex', at + 2);
      line.classList.toggle('odd', at % 2 === 1);
      if (line === before) before = before.nextSibling;
      else body.insertBefore(line, before);
    }
    measure();
  }

  function measure() {
    const line = body.firstElementChild;
    const now = line?.offsetHeight;
    if (now && Math.abs(now - height) > 0.5) {
      height = now;
      place();
    }
  }

  let waiting = false;
  const later = () => {
    if (waiting) return;
    waiting = true;
    requestAnimationFrame(() => {
      waiting = false;
      if (body.isConnected) place();
    });
  };
  addEventListener('scroll', later, { passive: true });
  addEventListener('resize', later);

  function go(at) {
    const row = rows[Math.max(0, Math.min(rows.length - 1, at))];
    if (!row) return;
    const top = body.getBoundingClientRect().top + scrollY + rows.indexOf(row) * height;
    const above = head.offsetHeight + 8;
    if (top < scrollY + above) scrollTo({ top: top - above });
    else if (top + height > scrollY + innerHeight) scrollTo({ top: top + height - innerHeight + 8 });
    place();
    shown.get(row)?.querySelector('a, button')?.focus({ preventScroll: true });
  }

  body.addEventListener('keydown', (event) => {
    const line = event.target.closest('.row');
    const at = Number(line?.getAttribute('aria-rowindex')) - 2;
    const page = Math.max(1, Math.floor(innerHeight / height) - 2);
    const steps = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: rows.length - 1, PageDown: at + page, PageUp: at - page };
    if (!(event.key in steps) || event.altKey || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    go(steps[event.key]);
  });

  return {
    element,
    get count() {
      return rows.length;
    },
    /** New rows; those that are the same objects keep their elements. */
    set(given) {
      const focused = [...shown].find(([, line]) => line.contains(document.activeElement));
      all = given;
      for (const line of shown.values()) line.remove();
      shown.clear();
      arrange();
      if (focused) {
        const again = rows.findIndex((row) => id(row) === id(focused[0]));
        if (again >= 0) go(again);
      }
    },
    filter(test) {
      keep = test;
      arrange();
    },
    focus: (wanted) => go(rows.findIndex((row) => id(row) === wanted)),
    stop() {
      removeEventListener('scroll', later);
      removeEventListener('resize', later);
    },
  };
}

/** A filter for a table: all words must be somewhere in the text of a row. */
export function filterBox(label, grid, text, onchange) {
  const box = h('input', { type: 'search', name: 'filter', placeholder: label, 'aria-label': label, autocomplete: 'off', spellcheck: 'false', 'aria-keyshortcuts': '/', class: 'filter' });
  const texts = new WeakMap();
  const textOf = (row) => {
    if (!texts.has(row)) texts.set(row, text(row).toLowerCase());
    return texts.get(row);
  };
  const act = () => {
    const words = box.value.toLowerCase().split(/\s+/).filter(Boolean);
    grid.filter((row) => words.every((word) => textOf(row).includes(word)));
    onchange();
  };
  box.addEventListener('input', act);
  box.addEventListener('keydown', (event) => {
    if (event.key === 'ArrowDown') {
      event.preventDefault();
      document.querySelector('.rows a')?.focus();
    }
    if (event.key !== 'Escape' || !box.value) return;
    event.preventDefault();
    box.value = '';
    act();
  });
  return box;
}
