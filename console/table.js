// A table of any number of rows, of which only those near the viewport are in the document.
//
// Owns: which rows are in the document, their order, moving between them with keys.
// Must never: remove the row that has focus, or keep more than a few screens of rows.
//
// All rows have the same height. It is measured, because it depends on font size and width.

import { button, h } from './ui.js';

// Rows above and below the viewport.
const BEYOND = 12;

const className = ({ title }) => title.toLowerCase().replace(' ', '-');

// Columns: {title, cell(row), sort?(row)}. `id(row)` identifies a row; `kind` is a CSS class.
export function windowed({ label, columns, id, kind }) {
	let [all, rows, height] = [[], [], 48];
	let [column, down, keep] = [columns[0], false, () => true];
	const shown = new Map();
	const body = h('div.rows', { role: 'rowgroup' });
	const headers = columns.map((one) =>
		h(
			'div',
			{ role: 'columnheader', class: className(one) },
			one.sort ? button(one.title, () => sortBy(one), { class: 'sort' }) : one.title,
		),
	);
	const head = h('div.head', { role: 'rowgroup' }, h('div.row', { role: 'row', 'aria-rowindex': '1' }, headers));
	const element = h('div', { class: `windowed ${kind}`, role: 'table', 'aria-label': label }, head, body);
	const line = (row) =>
		h(
			'div.row',
			{ role: 'row' },
			columns.map((one) => h('div', { role: 'cell', class: className(one) }, one.cell(row))),
		);
	const focused = () => [...shown].find(([, one]) => one.contains(document.activeElement))?.[0];

	function sortBy(one) {
		[column, down] = [one, column === one && !down];
		sort();
	}

	function sort() {
		columns.forEach((one, at) => {
			if (!one.sort) return;
			const direction = down ? 'descending' : 'ascending';
			headers[at].ariaSort = one === column ? direction : 'none';
		});
		const by = column.sort;
		// A stable sort: equal rows keep their order.
		all.sort((one, other) => Number(by(one) > by(other)) - Number(by(one) < by(other)));
		if (down) all.reverse();
		arrange();
	}

	function arrange() {
		rows = all.filter(keep);
		element.ariaRowCount = rows.length + 1;
		place();
	}

	function place() {
		const { top } = body.getBoundingClientRect();
		const first = Math.max(0, Math.floor(-top / height) - BEYOND);
		const last = Math.min(rows.length, Math.ceil((innerHeight - top) / height) + BEYOND);
		const wanted = new Map(rows.slice(first, last).map((row, at) => [row, first + at]));
		const kept = rows.indexOf(focused());
		if (kept >= 0) wanted.set(rows[kept], kept);
		for (const [row, one] of shown) {
			if (!wanted.has(row)) {
				one.remove();
				shown.delete(row);
			}
		}
		body.style.height = `${rows.length * height}px`;
		let next = body.firstChild;
		for (const [row, at] of [...wanted].sort(([, one], [, other]) => one - other)) {
			if (!shown.has(row)) shown.set(row, line(row));
			const one = shown.get(row);
			one.style.transform = `translateY(${at * height}px)`;
			one.ariaRowIndex = at + 2;
			if (one === next) next = one.nextSibling;
			else body.insertBefore(one, next);
		}
		const now = body.firstElementChild?.offsetHeight;
		if (now && Math.abs(now - height) > 0.5) {
			height = now;
			place();
		}
	}

	let scheduled = false;
	const later = () => {
		if (scheduled) return;
		scheduled = true;
		requestAnimationFrame(() => {
			scheduled = false;
			if (body.isConnected) place();
		});
	};
	addEventListener('scroll', later, { passive: true });
	addEventListener('resize', later);

	function go(wanted) {
		const at = Math.max(0, Math.min(rows.length - 1, wanted));
		if (!rows[at]) return;
		const top = body.getBoundingClientRect().top + scrollY + at * height;
		const above = head.offsetHeight + 8;
		if (top < scrollY + above) scrollTo(0, top - above);
		else if (top + height > scrollY + innerHeight) scrollTo(0, top + height - innerHeight + 8);
		place();
		shown.get(rows[at]).querySelector('a').focus({ preventScroll: true });
	}

	body.addEventListener('keydown', (event) => {
		const at = event.target.closest('.row').ariaRowIndex - 2;
		const page = Math.max(1, Math.floor(innerHeight / height) - 2);
		const step = {
			ArrowDown: at + 1,
			ArrowUp: at - 1,
			Home: 0,
			End: rows.length - 1,
			PageDown: at + page,
			PageUp: at - page,
		}[event.key];
		if (step === undefined || event.altKey || event.ctrlKey || event.metaKey) return;
		event.preventDefault();
		go(step);
	});

	// A click anywhere in a row opens its link, unless the user is selecting text.
	body.addEventListener(
		'click',
		(event) =>
			event.target.closest('a') ||
			String(getSelection()) ||
			event.target.closest('.row')?.querySelector('a').click(),
	);

	const focus = (wanted) => {
		const at = rows.findIndex((row) => id(row) === wanted);
		if (at >= 0) go(at);
	};
	return {
		element,
		count: () => rows.length,
		set(given) {
			const had = focused();
			all = [...given];
			for (const one of shown.values()) one.remove();
			shown.clear();
			sort();
			if (had && all.some((row) => id(row) === id(had))) focus(id(had));
		},
		filter(test) {
			keep = test;
			arrange();
		},
		focus,
		stop() {
			removeEventListener('scroll', later);
			removeEventListener('resize', later);
		},
	};
}

// A filter for a table: a row matches if its text contains every word.
export function filterBox(label, grid, text, onchange) {
	const texts = new WeakMap();
	const act = () => {
		const words = box.value.toLowerCase().split(/\s+/);
		grid.filter((row) => {
			if (!texts.has(row)) texts.set(row, text(row).toLowerCase());
			return words.every((word) => texts.get(row).includes(word));
		});
		onchange();
	};
	const onkeydown = (event) => {
		if (event.key === 'ArrowDown') document.querySelector('.rows a')?.focus();
		else if (event.key === 'Escape' && box.value) {
			box.value = '';
			act();
		} else return;
		event.preventDefault();
	};
	const box = h('input', {
		type: 'search',
		placeholder: label,
		'aria-label': label,
		autocomplete: 'off',
		spellcheck: 'false',
		'aria-keyshortcuts': '/',
		title: 'Press /',
		class: 'filter',
		oninput: act,
		onkeydown,
	});
	return box;
}
