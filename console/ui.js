// The building blocks of all views: elements, dialogs, forms, tables, notes.
//
// Must never: parse text as HTML (it creates elements and text nodes only, so that stored
// text cannot become markup), or keep a secret value.

import { ApiError, api, SessionLost } from './api.js';
import { age, stamp } from './format.js';

const PROPERTIES = ['value', 'checked', 'hidden'];

// Creates an element; `kind` is `tag.class`. Props that start with `on` are listeners, the rest
// are attributes; false, null and undefined ones are left out.
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

// A word with an icon: color alone never carries the state.
export const badge = (kind, word) =>
	h(
		'span',
		{ class: `badge ${kind}` },
		svg('svg', { viewBox: '0 0 16 16', class: 'icon', 'aria-hidden': 'true' }, svg('path', { d: ICONS[kind] })),
		word,
	);

export const button = (label, onclick, props) => h('button', { type: 'button', onclick, ...props }, label);
export const adding = (label, onclick) =>
	button(label, onclick, { class: 'primary', 'aria-keyshortcuts': 'n', title: 'Press n' });
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

export const ago = (time, never = 'Never') =>
	time ? h('time', { datetime: time, title: stamp(time) }, age(time)) : muted(never);

// Runs `work` unless `control` is already busy, and shows in `notes` what goes wrong.
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
	// Screen readers ignore everything outside a modal dialog.
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
				known = { message: 'Something went wrong. Reload the page and try again.' };
			}
			const list = (known.details ?? []).map(({ field: name, message }) =>
				h('li', null, code(name), ` ${message}`),
			);
			box.replaceChildren(div(problem(known), list.length > 0 && h('ul', null, list)));
			box.hidden = false;
		},
	};
}

// True while someone uses the page. Polling stops otherwise, so that the session can expire.
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

// An error that the page itself found. Takes pairs of a field's name and a message.
export const wrong = (...pairs) => {
	const details = pairs.map(([name, message]) => ({ field: name, message }));
	return new ApiError(400, { ...details[0], details });
};

// Shows each problem at the field it names. Returns whether there was a field for each one.
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
		const isChoice = ['checkbox', 'radio'].includes(control.type);
		control.ariaInvalid = 'true';
		// Messages start with the API's name for the field: use the label instead.
		const label = isChoice ? '' : control.labels[0].textContent.replace(' (optional)', '');
		const text = message.startsWith(`${name} `) ? (label + message.slice(name.length)).trim() : message;
		const own = { message: text[0].toUpperCase() + text.slice(1) };
		place.replaceChildren(...problem(first ? own : { ...error, ...own }).filter(Boolean));
		first ??= control;
	}
	first?.focus();
	return all;
}

// A form. `submit` may throw an error of the API or `wrong(…)`; the button is busy until it is done.
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
				.map((one) => [one.name, 'Required.']);
			if (element.querySelector('.scope-list:not([hidden], :has(:checked))'))
				missing.push(['environmentIds', 'Select at least one environment.']);
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

// Restores focus: to the same element, to a button with the same text, or to the heading.
function focusAgain(before) {
	const place = top();
	const alike = [...place.querySelectorAll('button')].find((one) => one.textContent === before.textContent);
	(before.isConnected && before !== document.body ? before : (alike ?? place.querySelector('h1, h2')))?.focus();
}

/**
 * A modal dialog. Esc and Close end it, unless its form is being sent. Focus returns to
 * where it was. `subject`: the dialog is about an existing item, not a form.
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
	// Browsers honor preventDefault() on `cancel` only once, so handle the key as well.
	const refuse = (event) => (event.type === 'cancel' || event.key === 'Escape') && isBusy() && event.preventDefault();
	element.addEventListener('cancel', refuse);
	element.addEventListener('keydown', refuse);
	element.addEventListener('close', () => {
		if (element.contains(toasts)) document.body.append(toasts);
		// Do not keep what was typed.
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

// A dialog with a form. What `submit` returns is shown as a toast.
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

// Asks before a permanent deletion: the user must type the name.
export function confirmDelete(word, name, fields, path, after) {
	const typed = input('confirmation');
	formDialog(
		`Delete ${name}`,
		[fields, field(`Type ${name} to confirm`, typed)],
		`Delete ${word}`,
		async () => {
			if (typed.value.trim() !== name) throw wrong(['confirmation', `Does not match ${name}.`]);
			await api('DELETE', path());
			await after();
			return `Deleted ${name}.`;
		},
		{ danger: true },
	);
}

export function closeDialogs() {
	for (const open of [...document.querySelectorAll('dialog[open]')].reverse()) open.close();
}

/**
 * A table of a few rows. Columns: [title, function of a row or name of a member, class].
 * On narrow screens each row is a card, and `data-label` labels its lines.
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
		// Browsers allow the clipboard only over HTTPS and on localhost.
		toast(copied ? 'Copied.' : 'Copying needs HTTPS or localhost. Select the text and copy it yourself.');
	});

export function scopeFields(environments, now = {}) {
	const radio = (given, label, checked) => {
		const box = h('input', { type: 'radio', name: 'allEnvironments', value: given, id: fresh(), checked });
		return [h('div.check', null, box, h('label', { for: box.id }, label)), box];
	};
	const [all, everywhere] = radio('true', 'All environments', now.allEnvironments);
	const [some] = radio('false', 'Selected environments', !now.allEnvironments);
	const boxes = environments.map((one) =>
		check('environmentIds', one.name, { value: one.id, checked: now.environmentIds?.includes(one.id) }),
	);
	const place = h('p.wrong', { id: `${boxes[0]?.box.id}-wrong` });
	boxes[0]?.box.setAttribute('aria-describedby', place.id);
	const list = h('div.scope-list', null, boxes.length ? boxes : muted('No environments yet'), place);
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

// The members that differ from `before`: unchanged ones are not sent, so that they do not undo
// what someone else has changed.
export const changed = (now, before) =>
	Object.fromEntries(
		Object.entries(now).filter(
			([name, value]) => JSON.stringify(value ?? null) !== JSON.stringify(before[name] ?? null),
		),
	);

export const scopeText = (one, nameOf) =>
	one.allEnvironments ? 'All environments' : one.environmentIds.map((id) => nameOf(id) ?? id).join(', ') || 'None';

export const roleName = (role) => role[0].toUpperCase() + role.slice(1);

export const roleField = (now = 'viewer') =>
	select(
		'role',
		[
			['viewer', 'Viewer: read-only'],
			['operator', 'Operator: read and write'],
			['admin', 'Admin: reveal and manage'],
		],
		now,
	);
