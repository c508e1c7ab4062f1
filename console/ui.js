// The pieces that views are made of: elements, dialogs, forms, tables, notes.
//
// Owns: how things look alike. Must never: make elements out of text (only nodes
// and text nodes, so that nothing that was stored can become markup), or keep a value.

import { ApiError, api, SessionLost } from './api.js';
import { age, stamp } from './format.js';

const PROPERTIES = ['value', 'checked', 'hidden'];

// An element, `tag.class`. `on…` are listeners, the rest attributes as in HTML; what is false or missing is left out.
export function h(kind, props, ...children) {
	const [tag, ...classes] = kind.split('.');
	const element = document.createElement(tag);
	if (classes.length) element.className = classes.join(' ');
	for (const [name, given] of Object.entries(props ?? {})) {
		if (given === false || given == null) continue;
		if (name.startsWith('on')) element.addEventListener(name.slice(2), given);
		else if (PROPERTIES.includes(name)) element[name] = given;
		else element.setAttribute(name, given === true ? '' : given);
	}
	element.append(...children.flat(3).filter((child) => child != null && child !== false));
	return element;
}

export function svg(tag, attributes, ...children) {
	const element = document.createElementNS('http://www.w3.org/2000/svg', tag);
	for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
	element.append(...children);
	return element;
}

const ICONS = {
	sealed: 'M4 7.5h8v6H4zM5.7 7.5V5a2.3 2.3 0 0 1 4.6 0v2.5',
	open: 'M1.5 8S4 3.8 8 3.8 14.5 8 14.5 8 12 12.2 8 12.2 1.5 8 1.5 8zM8 6.2a1.8 1.8 0 1 0 0 3.6 1.8 1.8 0 0 0 0-3.6z',
	good: 'M3 8.5l3.2 3.2L13 4.8',
	warn: 'M8 2.5l6 11H2zM8 6.5v3.2M8 11.6v.2',
	bad: 'M4 4l8 8M12 4l-8 8',
	off: 'M4 8h8',
};

// A word with a mark: state is never told by colour alone.
export const badge = (kind, word) =>
	h(
		'span',
		{ class: `badge ${kind}` },
		svg('svg', { viewBox: '0 0 16 16', class: 'icon', 'aria-hidden': 'true' }, svg('path', { d: ICONS[kind] })),
		word,
	);

export const button = (label, onclick, props) => h('button', { type: 'button', onclick, ...props }, label);
export const adding = (label, onclick) =>
	button(label, onclick, { class: 'primary', 'aria-keyshortcuts': 'n', title: 'Key: n' });
export const link = (href, text, props) => h('a', { href, ...props }, text);
export const code = (text) => h('code', null, text);
export const div = (...children) => h('div', null, children);
export const p = (...children) => h('p', null, children);
export const muted = (...children) => h('span.muted', null, children);
export const why = (...children) => h('div.why', null, children);
export const actions = (...children) => h('div.actions', null, children);

export function section(title, ...children) {
	const heading = h('h2', { id: fresh() }, title);
	return h('section', { 'aria-labelledby': heading.id }, heading, children);
}

export const ago = (time, never = 'never') =>
	time ? h('time', { datetime: time, title: stamp(time) }, age(time)) : muted(never);

// What is refused is told in `notes`.
export async function busy(control, notes, work) {
	if (control.ariaBusy === 'true') return;
	control.ariaBusy = 'true';
	control.ariaDisabled = 'true';
	try {
		notes.clear();
		await work();
	} catch (error) {
		notes.show(error);
	} finally {
		control.ariaBusy = null;
		control.ariaDisabled = null;
	}
}

const top = () => [...document.querySelectorAll('dialog[open]')].at(-1) ?? document.body;

const toasts = document.getElementById('toasts');
export function toast(text) {
	// What is outside of a modal dialog is not read out.
	if (toasts.parentNode !== top()) top().append(toasts);
	const note = p(text);
	setTimeout(() => toasts.replaceChildren(note), 50);
	setTimeout(() => note.remove(), 6000);
}

export const say = (error) => error.message && toast(error.message);

const problem = ({ message, hint, requestId }) => [
	h('strong', null, message),
	hint && ` ${hint}`,
	requestId && h('small.request', null, `Request ${requestId}`),
];

export function alertBox() {
	const box = h('div.alert', { role: 'alert', hidden: true });
	const clear = () => {
		box.hidden = true;
		box.replaceChildren();
	};
	return {
		box,
		clear,
		show(error) {
			if (error instanceof SessionLost) return;
			let known = error;
			if (!(error instanceof ApiError)) {
				console.error(error);
				known = { message: 'Something in this page went wrong. Reload it, and try again.' };
			}
			const list = (known.details ?? []).map(({ field: name, message }) =>
				h('li', null, code(name), ` ${message}`),
			);
			box.replaceChildren(div(problem(known), list.length > 0 && h('ul', null, list)));
			box.hidden = false;
		},
	};
}

// What asks by itself stops when nobody is there, so that the session can end.
let touched = Date.now();
for (const sign of ['pointerdown', 'keydown', 'scroll']) {
	addEventListener(sign, () => {
		touched = Date.now();
	});
}
export const attended = () => !document.hidden && Date.now() - touched < 900000;

let ids = 0;
const fresh = () => {
	ids += 1;
	return `id${ids}`;
};

export function field(label, control, hint, beside) {
	control.id ||= fresh();
	const note = hint && h('p.hint', { id: `${control.id}-hint` }, hint);
	const wrong = h('p.wrong', { id: `${control.id}-wrong` });
	control.setAttribute('aria-describedby', `${hint ? note.id : ''} ${wrong.id}`.trim());
	return h(
		'div.field',
		null,
		h('label', { for: control.id }, label),
		note,
		beside ? h('div.beside', null, control, beside) : control,
		wrong,
	);
}

export const input = (name, props) =>
	h('input', {
		type: 'text',
		name,
		autocomplete: 'off',
		autocapitalize: 'none',
		spellcheck: 'false',
		required: true,
		...props,
	});
export const prose = (name, value, props) =>
	input(name, { required: false, value: value ?? '', autocapitalize: 'sentences', ...props });
export const password = (name, complete = 'new-password') => input(name, { type: 'password', autocomplete: complete });
export const LONG_ENOUGH = 'At least 12 characters.';

export function check(name, label, props, hint) {
	const box = h('input', { type: 'checkbox', name, id: fresh(), ...props });
	if (hint) box.setAttribute('aria-describedby', `${box.id}-hint`);
	const element = h(
		'div.check',
		null,
		box,
		h('label', { for: box.id }, label),
		hint && h('p.hint', { id: `${box.id}-hint` }, hint),
	);
	return Object.assign(element, { box });
}

export function select(name, options, chosen, props) {
	const control = h(
		'select',
		{ name, ...props },
		options.map((one) => h('option', { value: [one].flat()[0] }, [one].flat().at(-1))),
	);
	if (chosen !== undefined) control.value = chosen;
	if (control.selectedIndex < 0) control.selectedIndex = 0;
	return control;
}

// Problems that the page has found by itself, at fields: pairs of name and message.
export const wrong = (...pairs) => {
	const details = pairs.map(([name, message]) => ({ field: name, message }));
	return new ApiError(400, { ...details[0], details });
};

// Shows each problem at the field that it names; tells whether there was one for each.
function showAtFields(element, error) {
	let first;
	let all = true;
	for (const { field: name, message } of error.details ?? [error]) {
		const named = (one) => element.elements.namedItem(one);
		const found = name && (named(name) ?? named(name.split('.')[0]));
		const control = found instanceof RadioNodeList ? found[0] : found;
		const place = control && document.getElementById(`${control.id}-wrong`);
		if (!place?.parentNode.checkVisibility()) {
			all = false;
			continue;
		}
		control.ariaInvalid = 'true';
		// The API begins with the name that it has for the field, which stands above it here.
		const text = message.startsWith(`${name} `) ? message.slice(name.length + 1) : message;
		const said = { message: text[0].toUpperCase() + text.slice(1) };
		place.replaceChildren(...problem(first ? said : { ...error, ...said }).filter(Boolean));
		first ??= control;
	}
	first?.focus();
	return all;
}

// A form. `submit` may throw what the API refused, or `wrong(…)`. Its button is busy meanwhile.
export function form(fields, label, submit, { cancel, danger, also } = {}) {
	const notes = alertBox();
	const send = h('button', { class: danger ? 'danger' : 'primary' }, label);
	const onsubmit = (event) => {
		event.preventDefault();
		const at = {
			clear() {
				notes.clear();
				for (const control of element.querySelectorAll('[aria-invalid]')) control.ariaInvalid = null;
				for (const place of element.querySelectorAll('.wrong')) place.replaceChildren();
			},
			show: (error) => (error instanceof ApiError && showAtFields(element, error)) || notes.show(error),
		};
		busy(send, at, () => {
			const missing = [...element.querySelectorAll('[required]')]
				.filter((one) => !one.value)
				.map((one) => [one.name, 'This is needed.']);
			if (element.querySelector('.scope-list:not([hidden], :has(:checked))'))
				missing.push(['environmentIds', 'Choose at least one environment, or all of them.']);
			if (missing.length) throw wrong(...missing);
			return submit(element);
		});
	};
	const element = h(
		'form',
		{ novalidate: true, autocomplete: 'off', onsubmit },
		notes.box,
		fields,
		actions(send, cancel && button('Cancel', cancel), also),
	);
	return Object.assign(element, { send, notes });
}

// Gives the focus back: to the same thing, to one that says the same, or to the heading.
function focusAgain(before) {
	const place = top();
	const alike = [...place.querySelectorAll('button')].find((one) => one.textContent === before.textContent);
	(before.isConnected && before !== document.body ? before : (alike ?? place.querySelector('h1, h2')))?.focus();
}

/**
 * A modal dialog. Esc and Close end it, unless its form is being sent. Focus goes
 * back to what had it before. A `subject` is a thing, with things to do with it.
 */
export function dialog(title, content, { onclose, wide, subject } = {}) {
	const before = document.activeElement;
	const heading = h('h2', { id: fresh(), tabindex: '-1', class: subject && 'mono' }, title);
	const element = h('dialog', { 'aria-labelledby': heading.id, class: (wide || subject) && 'wide' });
	const isBusy = () => element.querySelector('form [aria-busy]');
	const close = () => element.open && element.close();
	const leave = () => isBusy() || close();
	const shut = button('×', leave, { class: 'x', 'aria-label': 'Close' });
	element.append(h('header', null, heading, shut), h('div.body', null, content(close, leave)));
	// A browser heeds the first refusal of `cancel` only, so the key is taken away, too.
	const refuse = (event) => (event.type === 'cancel' || event.key === 'Escape') && isBusy() && event.preventDefault();
	element.addEventListener('cancel', refuse);
	element.addEventListener('keydown', refuse);
	element.addEventListener('close', () => {
		if (element.contains(toasts)) document.body.append(toasts);
		// What was typed must not stay anywhere.
		for (const control of element.querySelectorAll('input, textarea')) control.value = '';
		element.remove();
		focusAgain(before);
		onclose?.();
	});
	document.body.append(element);
	element.showModal();
	((!subject && element.querySelector('.body :is(input, textarea, select)')) || heading).focus();
	return { element, close };
}

// What `submit` answers is said when it is done.
export const formDialog = (title, fields, label, submit, options) =>
	dialog(title, (close, leave) =>
		form(
			fields,
			label,
			async (element) => {
				const said = await submit(element, close);
				close();
				if (said) toast(said);
			},
			{ cancel: leave, ...options },
		),
	);

// Asks before something goes for good: its name must be typed.
export function confirmDelete(word, name, fields, path, after) {
	const typed = input('confirmation');
	formDialog(
		`Delete ${name}`,
		[fields, field(`Type ${name} to confirm`, typed)],
		`Delete ${word}`,
		async () => {
			if (typed.value.trim() !== name) throw wrong(['confirmation', `This is not ${name}.`]);
			await api('DELETE', path());
			await after();
			return `${name} is deleted.`;
		},
		{ danger: true },
	);
}

export function closeDialogs() {
	for (const open of [...document.querySelectorAll('dialog[open]')].reverse()) open.close();
}

/**
 * A table of a few rows. Columns: [title, cell of a row or the member that it shows, class].
 * With little room each row is a card, and `data-label` names its lines.
 */
export function table(caption, columns, rows, empty) {
	if (!rows.length) return empty;
	const head = columns.map(([title, , kind]) =>
		h('th', { role: 'columnheader', scope: 'col', class: kind }, title || h('span.sr', null, 'Actions')),
	);
	const content = (row, cell) => {
		if (typeof cell === 'function') return cell(row);
		return cell.endsWith('At') ? ago(row[cell]) : row[cell];
	};
	const cells = (row) =>
		columns.map(([title, cell, kind]) =>
			h('td', { role: 'cell', 'data-label': title, class: kind }, div(content(row, cell))),
		);
	return h(
		'table',
		{ role: 'table', 'aria-label': caption },
		h('thead', { role: 'rowgroup' }, h('tr', { role: 'row' }, head)),
		h(
			'tbody',
			{ role: 'rowgroup' },
			rows.map((row) => h('tr', { role: 'row' }, cells(row))),
		),
	);
}

export const emptyState = (title, text, ...acts) =>
	h('div.empty', null, h('h2', null, title), p(text), acts.length > 0 && actions(acts));

export const facts = (...pairs) =>
	h(
		'dl.facts',
		null,
		pairs.filter(Boolean).map(([name, what]) => div(h('dt', null, name), h('dd', null, what))),
	);

export const copyButton = (label, text) =>
	button(label, async () => {
		const copied = await navigator.clipboard?.writeText(text()).then(
			() => true,
			() => false,
		);
		// Over plain HTTP from another machine, pages have no clipboard.
		toast(
			copied
				? 'Copied.'
				: 'The browser lets this page copy only over HTTPS or on the same machine. Select the text and copy it.',
		);
	});

export function scopeFields(environments, now = {}) {
	const radio = (given, label, checked) => {
		const box = h('input', { type: 'radio', name: 'allEnvironments', value: given, id: fresh(), checked });
		return [h('div.check', null, box, h('label', { for: box.id }, label)), box];
	};
	const [all, everywhere] = radio('true', 'All environments', now.allEnvironments);
	const [some] = radio('false', 'Only these', !now.allEnvironments);
	const boxes = environments.map((one) =>
		check('environmentIds', one.name, { value: one.id, checked: now.environmentIds?.includes(one.id) }),
	);
	const place = h('p.wrong', { id: `${boxes[0]?.box.id}-wrong` });
	boxes[0]?.box.setAttribute('aria-describedby', place.id);
	const list = h('div.scope-list', null, boxes.length ? boxes : muted('There are no environments yet.'), place);
	const sync = () => {
		list.hidden = everywhere.checked;
	};
	const element = h('fieldset', { onchange: sync }, h('legend', null, 'Scope'), all, some, list);
	sync();
	return {
		element,
		read: () => ({
			allEnvironments: everywhere.checked,
			environmentIds: everywhere.checked
				? undefined
				: boxes
						.filter(({ box }) => box.checked)
						.map(({ box }) => box.value)
						.sort(),
		}),
	};
}

// What is not as it was: what somebody else has changed meanwhile stays.
export const changed = (now, before) =>
	Object.fromEntries(
		Object.entries(now).filter(
			([name, value]) => JSON.stringify(value ?? null) !== JSON.stringify(before[name] ?? null),
		),
	);

export const scopeText = (one, nameOf) =>
	one.allEnvironments ? 'All environments' : one.environmentIds.map((id) => nameOf(id) ?? id).join(', ') || 'None';

export const roleField = (now = 'viewer') =>
	select(
		'role',
		[
			['viewer', 'Viewer: reads, without values'],
			['operator', 'Operator: also writes'],
			['admin', 'Admin: also reveals and manages'],
		],
		now,
	);
