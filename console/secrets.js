// Secrets: the main page.
//
// Must never: keep a value that was revealed for longer than it is shown, or show
// it where nobody has asked for it.

import { api, at, can, get, isAdmin, session } from './api.js';
import { offerImport, valueField, WRITE_ONLY } from './entry.js';
import { keyCell, openList, useCell, usedBy } from './list.js';
import { ago, alertBox, badge, busy, button, check, confirmByName, copyButton, facts, field, formDialog, h, input, select, table, toast, wrong } from './ui.js';

const SHOWN_SECONDS = 30;
const state = ({ neverReveal }) => (neverReveal ? badge('sealed', 'Write-only') : badge('open', 'Revealable'));

const columns = (base) => [
  { title: 'Key', cell: keyCell(base), sort: (row) => row.key, class: 'key' },
  { title: 'Description', cell: (row) => row.description ?? '', class: 'about' },
  { title: 'State', cell: state, sort: (row) => (row.neverReveal ? 0 : 1), class: 'state' },
  { title: 'Version', cell: (row) => h('span', null, h('span', { class: 'sr' }, 'version '), h('span', { 'aria-hidden': 'true' }, 'v'), row.version), sort: (row) => row.version, class: 'version' },
  { title: 'Age', cell: (row) => ago(row.updatedAt), sort: (row) => -Date.parse(row.updatedAt), class: 'age' },
  { title: 'Use', cell: useCell, sort: (row) => row.usageCount, class: 'use' },
];

export const describing = (row) => input('description', { maxlength: 1000, value: row?.description ?? '', autocapitalize: 'sentences' });
const send = async (context, method, path, body) => {
  const { secret } = await api(method, path, body);
  context.put(secret);
  return secret;
};

function add(context) {
  const key = input('key', { class: 'mono', maxlength: 256 });
  const value = valueField();
  const text = describing();
  const seal = check('neverReveal', 'Write-only', { checked: context.settings?.neverRevealByDefault }, WRITE_ONLY);
  const offer = offerImport([key, value.area], (lines) => {
    made.close();
    context.openImport(lines);
  });
  const fields = [field('Key', key, { hint: 'Capital letters, digits and _, such as DATABASE_URL.' }), value.nodes[0], offer, value.nodes.slice(1), field('Description (optional)', text), seal];
  const made = formDialog('Add a secret', fields, {
    label: 'Add secret',
    async submit() {
      const body = { key: key.value.trim(), neverReveal: seal.querySelector('input').checked, ...value.read() };
      if (text.value) body.description = text.value;
      const secret = await send(context, 'POST', at`/api/environments/${context.env.id}/secrets`, body);
      return `${secret.key} is stored${secret.neverReveal ? ', write-only' : ''}.`;
    },
  });
}

function replace(row, context) {
  const value = valueField();
  formDialog(`Replace the value of ${row.key}`, [h('p', null, `It becomes version ${row.version + 1}. What uses it gets it at once.`), value.nodes], {
    label: 'Replace value',
    async submit() {
      const { version } = await send(context, 'PATCH', at`/api/secrets/${row.id}?version=${row.version}`, value.read());
      return `${row.key} has a new value, version ${version}.`;
    },
  });
}

function describe(row, context) {
  const text = describing(row);
  formDialog(`Edit the description of ${row.key}`, field('Description', text), {
    label: 'Save description',
    async submit() {
      await send(context, 'PATCH', at`/api/secrets/${row.id}`, { description: text.value || null });
      return 'The description is saved.';
    },
  });
}

function latch(row, context) {
  const what = `From then on nobody can see the value of ${row.key}, nor any of its versions: not you, not another admin. Programs go on getting it. `;
  formDialog(`Make ${row.key} write-only`, h('p', null, what, h('strong', null, 'This is for good.')), {
    label: 'Make it write-only for good',
    danger: true,
    async submit() {
      await send(context, 'PATCH', at`/api/secrets/${row.id}`, { neverReveal: true });
      return `${row.key} is write-only now.`;
    },
  });
}

function copy(row, context) {
  const others = session.environments.filter((one) => one.id !== context.env.id);
  const target = select('environment', others.map((one) => [one.id, one.name]));
  const conflict = select('onConflict', [['fail', 'Stop'], ['replace', 'Replace its value']]);
  const what = 'The server copies the value; nobody sees it on the way. What is write-only stays so.';
  formDialog(`Copy ${row.key}`, [h('p', null, what), field('To environment', target), field('When the key exists', conflict)], {
    label: 'Copy secret',
    async submit() {
      if (!others.length) throw wrong('environment', 'There is no other environment.');
      await api('POST', at`/api/environments/${target.value}/secrets/copy`, { from: context.env.id, keys: [row.key], onConflict: conflict.value });
      return `${row.key} is copied to ${target.selectedOptions[0].text}.`;
    },
  });
}

export function remove(row, context) {
  const what = [h('p', null, `The ${context.one} goes for good, with all its versions. It is used by:`), h('p', null, usedBy(row))];
  confirmByName(`Delete ${row.key}`, row.key, what, `Delete ${context.one}`, async () => {
    await api('DELETE', at`/api/${context.kind}/${row.id}`);
    context.drop(row);
    return `${row.key} is deleted.`;
  });
}

/** The value, for as long as somebody may look at it. */
function revealed(value, gone) {
  const text = h('pre', { class: 'value mono', tabindex: '0' }, value);
  const left = h('span', { class: 'muted', role: 'timer' });
  const until = Date.now() + SHOWN_SECONDS * 1000;
  const element = h('section', { class: 'reveal', 'aria-label': 'Value' }, text);
  const hide = () => {
    clearInterval(timer);
    document.removeEventListener('visibilitychange', unseen);
    removeEventListener('pagehide', hide);
    value = '';
    text.textContent = '';
    element.remove();
    gone();
  };
  const unseen = () => document.visibilityState === 'hidden' && hide();
  const tick = () => {
    const seconds = Math.ceil((until - Date.now()) / 1000);
    if (seconds <= 0) hide();
    else left.textContent = `Hidden again in ${seconds} s`;
  };
  const timer = setInterval(tick, 250);
  document.addEventListener('visibilitychange', unseen);
  addEventListener('pagehide', hide);
  element.append(h('div', { class: 'actions' }, copyButton('Copy value', () => value), button('Hide value', hide), left));
  tick();
  return { element, hide };
}

function detail(row, context) {
  const mayWrite = can('secrets:write');
  const notes = alertBox();
  const value = h('div');
  const versions = h('div', { class: 'muted' }, 'Loading…');
  let hide = () => {};
  const show = async (event) => {
    const control = event.currentTarget;
    await busy(control, async () => {
      notes.clear();
      try {
        const answer = await get(at`/api/secrets/${row.id}/value`);
        // Whoever has closed the dialog meanwhile does not want to see it.
        if (!value.isConnected || document.visibilityState === 'hidden') return;
        hide();
        const open = revealed(answer.value, () => {
          control.hidden = false;
          if (control.isConnected) control.focus();
        });
        hide = open.hide;
        control.hidden = true;
        value.replaceChildren(open.element);
        value.querySelector('pre').focus();
      } catch (error) {
        notes.show(error);
      }
    });
  };
  const act = (label, what, props) => button(label, () => what(row, context), props);
  const mayReveal = can('secrets:reveal') && !row.neverReveal;
  const sealed = row.neverReveal && h('div', { class: 'note' }, h('strong', null, 'Nobody can see this value again'),
    ', in any role. Programs that the host declares get it all the same. If it is lost, replace it with a new one; if a new one does not work, activate an earlier version below.');
  loadVersions(row, context, versions, mayWrite);
  return {
    stop: () => hide(),
    nodes: [
      h('p', { class: 'lead' }, state(row), row.description ? ` ${row.description}` : h('span', { class: 'muted' }, ' No description')),
      sealed,
      !can('secrets:reveal') && !row.neverReveal && h('p', { class: 'muted' }, 'Admins may reveal this value.'),
      notes.box,
      value,
      h('div', { class: 'actions' }, [
        mayReveal && button('Reveal value', show, { class: 'primary' }),
        mayWrite && act('Replace value', replace, { class: row.neverReveal ? 'primary' : null }),
        mayWrite && act('Edit description', describe),
        mayWrite && !row.neverReveal && act('Make write-only', latch),
        can('secrets:reveal') && act('Copy to another environment', copy),
        mayWrite && act('Delete secret', remove, { class: 'danger' }),
      ]),
      facts([['Version', row.version], ['Changed', ago(row.updatedAt)], ['Created', ago(row.createdAt)], ['Used by', usedBy(row)]]),
      h('h3', null, 'Versions'),
      versions,
    ].filter(Boolean),
  };
}

async function loadVersions(row, context, place, mayWrite) {
  const notes = alertBox();
  try {
    const { versions } = await get(at`/api/secrets/${row.id}/versions`);
    const activate = (version) => async (event) => {
      await busy(event.currentTarget, async () => {
        try {
          const secret = await send(context, 'POST', at`/api/secrets/${row.id}/versions/${version}/activate`, {});
          toast(`Version ${version} is in force again, as version ${secret.version}.`);
        } catch (error) {
          notes.show(error);
        }
      });
    };
    const inForce = (one) =>
      one.active ? badge('good', 'In force') : mayWrite && button(`Activate version ${one.version}`, activate(one.version), { class: 'small' });
    const rows = table('Versions', [['Version', (one) => one.version], ['When', (one) => ago(one.createdAt)], ['Who', (one) => one.createdBy], ['', inForce]], versions);
    place.className = '';
    place.replaceChildren(notes.box, rows);
  } catch (error) {
    notes.show(error);
    place.replaceChildren(notes.box);
  }
}

export async function open(rest) {
  let settings;
  const view = {
    kind: 'secrets',
    title: 'Secrets',
    sealed: true,
    columns,
    detail,
    add: (context) => add(Object.assign(context, { settings })),
    empty: 'Add the first one, or import a .env file. Keys are names such as DATABASE_URL.',
  };
  const list = await openList(view, rest);
  // The settings are for admins; others learn the default from what is stored.
  if (can('environments:write')) {
    settings = (await get(at`/api/environments/${rest[0]}/settings/configuration`).catch(() => ({}))).settings;
  }
  return list;
}
