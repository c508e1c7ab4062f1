// The pieces that views are made of: elements, dialogs, forms, tables, notes.
//
// Owns: how things look alike. Must never: make elements out of text (only nodes
// and text nodes, so that nothing that was stored can become markup), or keep a value.

import { ApiError, SessionLost } from './api.js';
import { age, stamp } from './format.js';

const SVG = 'http://www.w3.org/2000/svg';

/** An element. `on…` are listeners, `class` and attributes as in HTML; false and null are left out. */
export function h(tag, props, ...children) {
  const element = document.createElement(tag);
  for (const [name, given] of Object.entries(props ?? {})) {
    if (given === false || given === null || given === undefined) continue;
    if (name.startsWith('on')) element.addEventListener(name.slice(2), given);
    else if (name in { value: 1, checked: 1, hidden: 1, disabled: 1, indeterminate: 1 }) element[name] = given;
    else element.setAttribute(name, given === true ? '' : given);
  }
  element.append(...children.flat(3).filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

const ICONS = {
  lock: 'M4 7.5h8v6H4zM5.7 7.5V5a2.3 2.3 0 0 1 4.6 0v2.5',
  eye: 'M1.5 8S4 3.8 8 3.8 14.5 8 14.5 8 12 12.2 8 12.2 1.5 8 1.5 8zM8 6.2a1.8 1.8 0 1 0 0 3.6 1.8 1.8 0 0 0 0-3.6z',
  good: 'M3 8.5l3.2 3.2L13 4.8',
  warn: 'M8 2.5l6 11H2zM8 6.5v3.2M8 11.6v.2',
  bad: 'M4 4l8 8M12 4l-8 8',
  wait: 'M8 4.5V8l2.4 1.6M8 2a6 6 0 1 0 0 12A6 6 0 0 0 8 2z',
};

export function icon(name) {
  const svg = document.createElementNS(SVG, 'svg');
  const path = document.createElementNS(SVG, 'path');
  svg.setAttribute('viewBox', '0 0 16 16');
  svg.setAttribute('class', 'icon');
  svg.setAttribute('aria-hidden', 'true');
  path.setAttribute('d', ICONS[name]);
  svg.append(path);
  return svg;
}

/** A word with a mark: state is never told by colour alone. */
export const badge = (kind, word) =>
  h('span', { class: `badge ${kind}` }, icon({ sealed: 'lock', open: 'eye', off: 'bad' }[kind] ?? kind), word);

export const button = (label, onclick, props) => h('button', { type: 'button', onclick, ...props }, label);

export const link = (href, text, props) => h('a', { href, ...props }, text);

export const code = (text) => h('code', null, text);

/** How long ago, with the moment itself for whoever points at it or has it read out. */
export function ago(time, never = 'never') {
  if (!time) return h('span', { class: 'muted' }, never);
  return h('time', { datetime: time, title: stamp(time) }, age(time));
}

/** The button that a click came from is busy until the work is done. */
export async function busy(control, work) {
  if (control.getAttribute('aria-disabled') === 'true') return undefined;
  control.setAttribute('aria-disabled', 'true');
  control.setAttribute('aria-busy', 'true');
  try {
    return await work();
  } finally {
    control.removeAttribute('aria-disabled');
    control.removeAttribute('aria-busy');
  }
}

// Notes --------------------------------------------------------------------

const toasts = document.getElementById('toasts');

/** Says that something has happened. It is read out, and goes by itself. */
export function toast(text) {
  // What is outside of a modal dialog is not read out.
  const dialogs = document.querySelectorAll('dialog[open]');
  (dialogs[dialogs.length - 1] ?? document.body).append(toasts);
  const note = h('p', null, text);
  toasts.replaceChildren(note);
  setTimeout(() => note.remove(), 6000);
}

function restoreToasts(from) {
  if (from.contains(toasts)) document.body.append(toasts);
}

/** What a problem says, what to do about it, and the number to ask for help with. */
export function problemNodes(error) {
  return [
    h('strong', null, error.message),
    error.hint && h('span', null, ` ${error.hint}`),
    error.requestId && h('small', { class: 'request' }, `Request ${error.requestId}`),
  ].filter(Boolean);
}

/** A box for what went wrong; empty and hidden until it is told. */
export function alertBox() {
  const box = h('div', { class: 'alert', role: 'alert', hidden: true });
  const tell = (...nodes) => {
    box.replaceChildren(...nodes);
    box.hidden = nodes.length === 0;
  };
  return {
    box,
    clear: () => tell(),
    say: (text) => tell(h('strong', null, text)),
    show(error) {
      if (error instanceof SessionLost) return;
      if (!(error instanceof ApiError)) {
        console.error(error);
        tell(h('strong', null, 'Something in this page went wrong. Reload it, and try again.'));
        return;
      }
      tell(...problemNodes(error));
      const details = (error.details ?? []).map(({ field, message }) => h('li', null, code(field), ` ${message}`));
      if (details.length) box.append(h('ul', null, details));
    },
  };
}

// Forms --------------------------------------------------------------------

let ids = 0;
export const fresh = (prefix) => `${prefix}-${(ids += 1)}`;

/** A control with its label, a hint, and a place for what is wrong with it. */
export function field(label, control, { hint, beside } = {}) {
  control.id ||= fresh('f');
  const note = h('p', { class: 'hint', id: `${control.id}-hint` }, hint ?? '');
  const wrong = h('p', { class: 'wrong', id: `${control.id}-wrong` });
  note.hidden = !hint;
  control.setAttribute('aria-describedby', hint ? `${note.id} ${wrong.id}` : wrong.id);
  const row = beside ? h('div', { class: 'beside' }, control, beside) : control;
  return h('div', { class: 'field' }, h('label', { for: control.id }, label), note, row, wrong);
}

export const input = (name, props) =>
  h('input', { type: 'text', name, autocomplete: 'off', autocapitalize: 'none', spellcheck: 'false', ...props });

export function check(name, label, props, hint) {
  const box = h('input', { type: 'checkbox', name, id: fresh('c'), ...props });
  if (hint) box.setAttribute('aria-describedby', `${box.id}-hint`);
  const text = h('label', { for: box.id }, label);
  return h('div', { class: 'check' }, box, text, hint && h('p', { class: 'hint', id: `${box.id}-hint` }, hint));
}

export function select(name, options, chosen, props) {
  const made = options.map(([given, text]) => h('option', { value: given }, text));
  const control = h('select', { name, ...props }, made);
  if (chosen !== undefined) control.value = chosen;
  return control;
}

function controlNamed(form, name) {
  const named = (one) => form.elements.namedItem(one);
  const found = named(name) ?? named(name.split('.')[0]);
  return found instanceof RadioNodeList ? found[0] : found;
}

function clearFields(form) {
  for (const control of form.querySelectorAll('[aria-invalid]')) control.removeAttribute('aria-invalid');
  for (const place of form.querySelectorAll('.wrong')) place.replaceChildren();
}

/** Shows each problem at the field that it names; tells whether there was one for each. */
function showAtFields(form, error) {
  const problems = error.details?.length ? error.details : [{ field: error.field, message: error.message }];
  let first = null;
  let all = true;
  for (const { field: name, message } of problems) {
    const control = name && controlNamed(form, name);
    const place = control && document.getElementById(`${control.id}-wrong`);
    if (!place || control.offsetParent === null) {
      all = false;
      continue;
    }
    control.setAttribute('aria-invalid', 'true');
    place.replaceChildren(...problemNodes({ ...error, message, hint: first ? null : error.hint, requestId: first ? null : error.requestId }));
    first ??= control;
  }
  first?.focus();
  return all;
}

/**
 * A form. `submit` gets the form and may throw what the API refused, or
 * `wrong(name, message)`. Its button is busy meanwhile.
 */
export function form(fields, { label, submit, cancel, danger, also }) {
  const notes = alertBox();
  const send = h('button', { type: 'submit', class: danger ? 'danger' : 'primary' }, label);
  const element = h(
    'form',
    { novalidate: true, autocomplete: 'off' },
    notes.box,
    fields,
    h('div', { class: 'actions' }, send, cancel && button('Cancel', cancel), also),
  );
  element.addEventListener('submit', (event) => {
    event.preventDefault();
    busy(send, async () => {
      notes.clear();
      clearFields(element);
      try {
        await submit(element, send);
      } catch (error) {
        if (error instanceof ApiError && showAtFields(element, error)) return;
        notes.show(error);
      }
    });
  });
  element.relabel = (text) => send.replaceChildren(text);
  element.busy = () => send.hasAttribute('aria-busy');
  return element;
}

/** A problem that the page has found by itself, at a field. */
export const wrong = (name, message) => new ApiError(400, { code: 'VALIDATION_ERROR', message, field: name });

// Dialogs ------------------------------------------------------------------

/**
 * A modal dialog. Esc and Close end it, unless its form is being sent. Focus goes
 * back to what had it before.
 */
export function dialog(title, content, { onclose, wide, label } = {}) {
  const before = document.activeElement;
  const heading = h('h2', { id: fresh('d'), tabindex: '-1', class: label ? 'mono' : null }, title);
  const element = h('dialog', { 'aria-labelledby': heading.id, class: wide ? 'wide' : null });
  const close = () => element.open && element.close();
  const shut = button(h('span', { 'aria-hidden': 'true' }, '×'), close, { class: 'x', 'aria-label': 'Close' });
  element.append(h('header', null, heading, shut), h('div', { class: 'body' }, content(close)));
  const isBusy = () => element.querySelector('[aria-busy=true]');
  element.addEventListener('cancel', (event) => {
    if (event.target === element && isBusy()) event.preventDefault();
  });
  element.addEventListener('close', () => {
    restoreToasts(element);
    // What was typed must not stay anywhere.
    for (const control of element.querySelectorAll('input, textarea')) control.value = '';
    element.remove();
    onclose?.();
    focusAgain(before);
  });
  document.body.append(element);
  element.showModal();
  const first = element.querySelector('.body input:not([hidden]), .body textarea, .body select');
  if (first && !label) first.focus();
  else heading.focus();
  return { element, close };
}

/** Gives the focus back: to the same thing, to one that says the same, or to the heading. */
function focusAgain(before) {
  const dialogs = document.querySelectorAll('dialog[open]');
  const top = dialogs[dialogs.length - 1] ?? document.querySelector('main');
  const alike = [...(top?.querySelectorAll('button') ?? [])].find((one) => one.textContent === before?.textContent);
  (before?.isConnected && before !== document.body ? before : (alike ?? top?.querySelector('h1, h2')))?.focus();
}

/** A dialog that is a form. What `submit` answers is said when it is done. */
export const formDialog = (title, fields, { submit, ...rest }) =>
  dialog(title, (close) =>
    form(fields, {
      ...rest,
      cancel: close,
      async submit(element) {
        const said = await submit(element, close);
        close();
        if (said) toast(said);
      },
    }));

/** Asks before something that cannot be undone; the name must be typed. */
export function confirmByName(title, name, fields, label, act) {
  const typed = input('confirmation');
  formDialog(title, [fields, field(`Type ${name} to confirm`, typed)], {
    label,
    danger: true,
    submit() {
      if (typed.value.trim() !== name) throw wrong('confirmation', `This is not ${name}.`);
      return act();
    },
  });
}

// Tables -------------------------------------------------------------------

/**
 * A table of a few rows. Columns: [title, cell of a row, class]. On a narrow
 * page each row is a card, and `data-label` names its lines.
 */
export function table(caption, columns, rows, empty) {
  if (!rows.length) return empty ?? h('p', { class: 'muted' }, 'Nothing here.');
  const head = columns.map(([title, , kind]) => h('th', { role: 'columnheader', scope: 'col', class: kind }, title || h('span', { class: 'sr' }, 'Actions')));
  const line = (row) =>
    h('tr', { role: 'row' }, columns.map(([title, cell, kind]) => h('td', { role: 'cell', 'data-label': title, class: kind }, cell(row) ?? '')));
  return h(
    'table',
    { role: 'table', class: 'cards' },
    h('caption', { class: 'sr' }, caption),
    h('thead', { role: 'rowgroup' }, h('tr', { role: 'row' }, head)),
    h('tbody', { role: 'rowgroup' }, rows.map(line)),
  );
}

/** Nothing there yet, and what to do about it. */
export const emptyState = (title, text, ...actions) =>
  h('div', { class: 'empty' }, h('h2', null, title), h('p', null, text), actions.length > 0 && h('div', { class: 'actions' }, actions));

/** Pairs of a name and what it is. */
export const facts = (pairs) =>
  h('dl', { class: 'facts' }, pairs.filter(Boolean).map(([name, what]) => h('div', null, h('dt', null, name), h('dd', null, what))));

/** Puts a text on the clipboard; answers whether that has worked. */
export async function copyText(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    // Over plain HTTP from another machine there is no clipboard for pages.
    const area = h('textarea', { class: 'sr', 'aria-hidden': 'true', tabindex: '-1', value: text });
    const dialogs = document.querySelectorAll('dialog[open]');
    const back = document.activeElement;
    (dialogs[dialogs.length - 1] ?? document.body).append(area);
    area.select();
    const done = document.execCommand('copy');
    area.value = '';
    area.remove();
    back?.focus();
    return done;
  }
}

/** A copy button that says what came of it. */
export const copyButton = (label, text) =>
  button(label, async () => {
    toast((await copyText(text())) ? 'Copied.' : 'The browser does not let this page copy. Select the text and copy it.');
  });

// Scope --------------------------------------------------------------------

/** Fields for where an account or token may go. */
export function scopeFields(environments, now = { allEnvironments: false, environmentIds: [] }) {
  const radio = (given, label, checked) => {
    const box = h('input', { type: 'radio', name: 'allEnvironments', value: given, id: fresh('r'), checked });
    return h('div', { class: 'check' }, box, h('label', { for: box.id }, label));
  };
  const boxes = environments.map((one) =>
    check('environmentIds', one.name, { value: one.id, checked: now.environmentIds.includes(one.id) }));
  const list = h('div', { class: 'scope-list' }, boxes.length ? boxes : h('p', { class: 'muted' }, 'There are no environments yet.'));
  const place = h('p', { class: 'wrong' });
  const element = h(
    'fieldset',
    null,
    h('legend', null, 'Scope'),
    radio('true', 'All environments', now.allEnvironments),
    radio('false', 'Only these', !now.allEnvironments),
    list,
    place,
  );
  const firstBox = list.querySelector('input');
  if (firstBox) place.id = `${firstBox.id}-wrong`;
  const sync = () => (list.hidden = element.querySelector('input[value=true]').checked);
  element.addEventListener('change', sync);
  sync();
  return {
    element,
    read() {
      const all = element.querySelector('input[value=true]').checked;
      const ids = [...list.querySelectorAll('input:checked')].map((box) => box.value);
      if (!all && !ids.length) throw wrong('environmentIds', 'Choose at least one environment, or all of them.');
      return all ? { allEnvironments: true } : { allEnvironments: false, environmentIds: ids };
    },
  };
}

export const scopeText = (one, nameOf) =>
  one.allEnvironments ? 'All environments' : one.environmentIds.map((id) => nameOf(id) ?? id).join(', ') || 'None';

export const ROLES = [
  ['viewer', 'Viewer: reads, without values'],
  ['operator', 'Operator: also writes'],
  ['admin', 'Admin: also reveals and manages'],
];
