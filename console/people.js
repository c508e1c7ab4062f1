// Users, service accounts and tokens. Must never: keep a password, or a token
// after the dialog that shows it is closed.

import { api, at, environmentName, get, loadEnvironments, session } from './api.js';
import { stamp } from './format.js';
import { ago, badge, button, busy, alertBox, check, code, confirmByName, copyButton, dialog, emptyState, field, form, formDialog, h, input, link, ROLES, scopeFields, scopeText, select, table, toast } from './ui.js';
import { navigate } from './app.js';

const roleWord = ({ role }) => role[0].toUpperCase() + role.slice(1);
const scope = (one) => scopeText(one, environmentName);
const stateOf = (one) => (one.disabled ? badge('off', 'Disabled') : badge('good', 'Active'));
const password = (name, label = 'New password') =>
  field(label, input(name, { type: 'password', autocomplete: 'new-password' }), { hint: 'At least 12 characters.' });

/** What users and service accounts have in common as pages. */
async function accounts(kind, [id]) {
  const load = async () => (await Promise.all([get(kind.path), loadEnvironments()]))[0][kind.many];
  let rows = await load();
  const place = h('div');
  let open = null;
  const draw = () => place.replaceChildren(table(kind.title, kind.columns, rows, emptyState(`No ${kind.title.toLowerCase()} yet`, kind.empty)));
  const refresh = async () => {
    rows = await load();
    draw();
  };
  const title = (one) => one.email ?? one.name;
  function edit(one) {
    open = dialog(title(one), (close) => {
      const scopes = scopeFields(session.environments, one);
      const role = select('role', ROLES, one.role);
      const off = check('disabled', 'Disabled', { checked: one.disabled }, 'Sessions and tokens end at once.');
      const own = kind.fields(one);
      const saved = form([own, field('Role', role), scopes.element, off], {
        label: `Save ${kind.one}`,
        async submit(element) {
          const body = { ...kind.read(element, one), role: role.value, disabled: off.querySelector('input').checked, ...scopes.read() };
          await api('PATCH', kind.path + at`/${one.id}`, body);
          await refresh();
          close();
          toast(`${title(one)} is saved.`);
        },
      });
      const gone = () => confirmByName(`Delete ${title(one)}`, title(one), h('p', null, 'Sessions and tokens end at once. The audit log keeps the name.'), `Delete ${kind.one}`, async () => {
        await api('DELETE', kind.path + at`/${one.id}`);
        await refresh();
        close();
        return `${title(one)} is deleted.`;
      });
      return [saved, kind.more?.(one), h('h3', null, 'Delete'), button(`Delete ${kind.one}`, gone, { class: 'danger' })].filter(Boolean);
    }, {
      label: true,
      wide: true,
      onclose() {
        open = null;
        if (location.pathname === `/${kind.base}/${one.id}`) navigate(`/${kind.base}`);
      },
    });
  }
  function update([wanted]) {
    const one = rows.find((row) => row.id === wanted);
    if (!wanted) open?.close();
    else if (one && !open) edit(one);
    return true;
  }
  const add = () => {
    const scopes = scopeFields(session.environments);
    const role = select('role', ROLES, 'viewer');
    formDialog(`New ${kind.one}`, [kind.fields(), kind.fresh?.(), field('Role', role), scopes.element], {
      label: `Create ${kind.one}`,
      async submit(element) {
        await api('POST', kind.path, { ...kind.read(element), role: role.value, ...scopes.read() });
        await refresh();
        return `The ${kind.one} is created.`;
      },
    });
  };
  draw();
  return { title: kind.title, actions: button(`New ${kind.one}`, add, { class: 'primary', 'aria-keyshortcuts': 'n' }), element: place, add, update, shown: () => id && update([id]) };
}

const text = (form, name) => form.elements.namedItem(name)?.value.trim();
const open = (base, one, shown) => link(`/${base}/${one.id}`, shown);

export const users = (rest) =>
  accounts({
    title: 'Users', one: 'user', many: 'users', base: 'users', path: '/api/users',
    empty: 'Create one for each person.',
    columns: [
      ['Email', (one) => open('users', one, one.email)],
      ['Name', (one) => one.name ?? ''],
      ['Role', roleWord],
      ['Scope', scope],
      ['State', stateOf],
      ['Last active', (one) => ago(one.lastActiveAt)],
    ],
    fields: (one) => [
      !one && field('Email', input('email', { type: 'email' })),
      field(one ? 'Name' : 'Name (optional)', input('name', { value: one?.name ?? '', autocapitalize: 'words' })),
    ],
    fresh: () => password('password', 'Password'),
    read: (element, one) => (one
      ? { name: text(element, 'name') }
      : { email: text(element, 'email'), password: element.elements.namedItem('password').value, ...(text(element, 'name') && { name: text(element, 'name') }) }),
    more: (one) => [
      h('h3', null, 'Password'),
      button('Set password', () => {
        const given = password('newPassword');
        formDialog('Set password', [h('p', null, `All sessions and tokens of ${one.email} end.`), given], {
          label: 'Set password',
          async submit() {
            await api('POST', at`/api/users/${one.id}/change-password`, { newPassword: given.querySelector('input').value });
            return `${one.email} has a new password.`;
          },
        });
      }),
      h('h3', null, 'Sessions'),
      sessions(one.id),
    ],
  }, rest);

/** The sessions of a user, and ending them. */
export function sessions(user) {
  const place = h('div', null, h('p', { class: 'muted' }, 'Loading…'));
  const notes = alertBox();
  const path = at`/api/users/${user}/sessions`;
  const end = (where, said) => (event) =>
    busy(event.currentTarget, async () => {
      try {
        await api('DELETE', where);
        toast(said);
        await load();
      } catch (error) {
        notes.show(error);
      }
    });
  async function load() {
    try {
      const { sessions: all } = await get(path);
      place.replaceChildren(notes.box, table('Sessions', [
        ['Began', (one) => ago(one.createdAt)],
        ['Last used', (one) => ago(one.lastUsedAt)],
        ['From', (one) => one.ip ?? ''],
        ['Program', (one) => h('span', { title: one.userAgent }, (one.userAgent ?? '').slice(0, 40))],
        ['', (one) => (one.current ? badge('good', 'This one') : button('End session', end(at`/api/users/${user}/sessions/${one.id}`, 'The session has ended.'), { class: 'small' }))],
      ], all, h('p', { class: 'muted' }, 'No sessions.')), all.length > 0 && user !== session.me.user.id ? button('End all sessions', end(path, 'All sessions have ended.')) : '');
    } catch (error) {
      notes.show(error);
      place.replaceChildren(notes.box);
    }
  }
  load();
  return place;
}

export const serviceAccounts = (rest) =>
  accounts({
    title: 'Service accounts', one: 'service account', many: 'serviceAccounts', base: 'service-accounts', path: '/api/admin/service-accounts',
    empty: 'Machines get tokens of a service account, which no person takes along when they leave.',
    columns: [
      ['Name', (one) => open('service-accounts', one, code(one.name))],
      ['Description', (one) => one.description ?? ''],
      ['Role', roleWord],
      ['Scope', scope],
      ['State', stateOf],
      ['Tokens', (one) => link(`/tokens?owner=${one.id}`, one._count.apiTokens, { 'aria-label': `Tokens of ${one.name}: ${one._count.apiTokens}` }), 'number'],
    ],
    fields: (one) => [
      !one && field('Name', input('name'), { hint: 'Small letters, digits, dashes and _, such as deploy.' }),
      field('Description', input('description', { value: one?.description ?? '', autocapitalize: 'sentences' })),
    ],
    read: (element, one) => ({ ...(!one && { name: text(element, 'name') }), description: text(element, 'description') || null }),
  }, rest);

const LIVES = [['30', '30 days'], ['90', '90 days'], ['365', 'A year'], ['', 'Never']];

export async function tokens() {
  const [people, machines] = await Promise.all([get('/api/users'), get('/api/admin/service-accounts'), loadEnvironments()]);
  const owners = [...machines.serviceAccounts.map((one) => [one.id, one.name]), ...people.users.map((one) => [one.id, one.email])];
  const owner = (one) => owners.find(([id]) => id === (one.serviceAccountId ?? one.userId))?.[1] ?? 'the host';
  const only = new URLSearchParams(location.search).get('owner');
  const place = h('div');
  const notes = alertBox();
  const gone = (one) => confirmByName(`Delete token ${one.name}`, one.name, h('p', null, 'Whoever uses it is refused from then on.'), 'Delete token', async () => {
    await api('DELETE', at`/api/admin/tokens/${one.id}`);
    await load();
    return `Token ${one.name} is deleted.`;
  });
  async function load() {
    const { tokens: all } = await get('/api/admin/tokens');
    const rows = all.filter((one) => !only || [one.serviceAccountId, one.userId].includes(only));
    place.replaceChildren(notes.box, only ? h('p', null, `Those of ${owners.find(([id]) => id === only)?.[1] ?? 'one owner'}. `, link('/tokens', 'Show all')) : '', table('Tokens', [
      ['Name', (one) => one.name],
      ['Starts with', (one) => code(one.tokenPrefix)],
      ['Owner', owner],
      ['Role', roleWord],
      ['Scope', scope],
      ['Last used', (one) => ago(one.lastUsedAt)],
      ['Expires', (one) => (one.expiresAt ? (Date.parse(one.expiresAt) < Date.now() ? badge('bad', 'Expired') : stamp(one.expiresAt).slice(0, 10)) : 'never')],
      ['', (one) => button('Delete', () => gone(one), { class: 'small', 'aria-label': `Delete token ${one.name}` })],
    ], rows, emptyState('No tokens yet', 'Programs show a token to the API. Create one for each, with the least that it needs.')));
  }
  const add = () => {
    const name = input('name', { maxlength: 100 });
    const who = select('owner', [['', 'Yourself'], ...owners.filter(([id]) => id !== session.me.user.id)], only ?? '');
    const role = select('role', ROLES, 'viewer');
    const life = select('expiresInDays', LIVES, '90');
    const scopes = scopeFields(session.environments);
    formDialog('New token', [field('Name', name, { hint: 'What it is for, such as ci.' }), field('Owner', who), field('Role', role), scopes.element, field('Expires in', life)], {
      label: 'Create token',
      async submit(_, close) {
        const body = { name: name.value.trim(), role: role.value, ...scopes.read(), expiresInDays: life.value ? Number(life.value) : null };
        if (who.value) body[who.value.startsWith('usr_') ? 'ownerUserId' : 'ownerServiceAccountId'] = who.value;
        const made = await api('POST', '/api/admin/tokens', body);
        close();
        showToken(made.token);
        await load();
      },
    });
  };
  await load();
  return { title: 'Tokens', actions: button('New token', add, { class: 'primary', 'aria-keyshortcuts': 'n' }), element: place, add };
}

function showToken(token) {
  dialog('Copy the token now', (close) => {
    const shown = h('input', { type: 'text', readonly: true, class: 'mono', value: token, autocomplete: 'off', onfocus: () => shown.select() });
    return [h('p', null, 'It is shown this once. The server keeps only a hash of it.'), field('Token', shown),
      h('div', { class: 'actions' }, copyButton('Copy token', () => shown.value), button('Done', close, { class: 'primary' }))];
  });
}
