// Environments: making, configuring and deleting them.

import { api, at, can, environment, get, isAdmin, loadEnvironments } from './api.js';
import { plural, stamp } from './format.js';
import { busy, button, check, code, confirmByName, emptyState, facts, field, form, formDialog, h, input, link, table, toast } from './ui.js';
import { navigate } from './app.js';

function create() {
  const name = input('name', { maxlength: 50 });
  const shown = input('displayName', { maxlength: 100, autocapitalize: 'sentences' });
  formDialog('New environment', [field('Name', name, { hint: 'Letters, digits, dots, dashes and _, such as staging. It stays.' }), field('Display name', shown)], {
    label: 'Create environment',
    async submit() {
      const made = await api('POST', '/api/environments', { name: name.value.trim(), displayName: shown.value || null });
      await loadEnvironments();
      await navigate(`/environments/${made.environment.name}`);
      return `${made.environment.name} is there.`;
    },
  });
}

function remove(env) {
  const { secrets, vars } = env._count;
  const force = secrets > 0 && check('force', `Also delete its ${plural(secrets, 'secret')} and ${plural(vars, 'var')}, for good`);
  const what = secrets ? 'Their data keys are destroyed: nothing brings the values back but a backup.' : `It holds no secrets${vars ? ` and ${plural(vars, 'var')}, which go with it` : ''}.`;
  confirmByName(`Delete ${env.name}`, env.name, [h('p', null, what), force], 'Delete environment', async () => {
    const forced = force && force.querySelector('input').checked ? '?force=true' : '';
    await api('DELETE', at`/api/environments/${env.id}` + forced);
    await loadEnvironments();
    await navigate('/environments');
    return `${env.name} is deleted.`;
  });
}

async function openOne(name) {
  const known = environment(name);
  const env = known && (await get(at`/api/environments/${known.id}`)).environment;
  if (!env) return { title: 'No such environment', element: h('p', null, link('/environments', 'See the environments')) };
  const path = at`/api/environments/${env.id}/settings/configuration`;
  const counts = facts([['Secrets', link(`/secrets/${env.name}`, env._count.secrets)], ['Vars', link(`/vars/${env.name}`, env._count.vars)], ['Created', stamp(env.createdAt)], ['Id', code(env.id)]]);
  if (!can('environments:write')) return { title: env.name, element: h('div', null, counts, h('p', { class: 'muted' }, 'Its settings are for admins.')) };
  const { settings } = await get(path);
  const reveal = check('allowSecretReveal', 'Admins may reveal revealable secrets', {}, 'Switched off, nobody can see any value here, while programs go on getting them.');
  const sealed = check('neverRevealByDefault', 'New secrets are write-only unless told otherwise', {}, 'Those that are there stay as they are.');
  const boxes = [reveal, sealed].map((one) => one.querySelector('input'));
  const fill = (now) => boxes.forEach((box) => (box.checked = now[box.name]));
  fill(settings);
  const restore = button('Restore defaults', () =>
    busy(restore, async () => {
      fill((await api('POST', `${path}/reset`, {})).settings);
      toast('The settings are the defaults again.');
    }).catch(saved.fail));
  const saved = form([reveal, sealed], {
    label: 'Save settings',
    also: restore,
    async submit() {
      const body = Object.fromEntries(boxes.map((box) => [box.name, box.checked]));
      fill((await api('PATCH', path, body)).settings);
      toast('The settings are saved.');
    },
  });
  return {
    title: env.name,
    element: h('div', { class: 'column' }, env.displayName && h('p', { class: 'lead' }, env.displayName), counts, h('h2', null, 'Settings'), saved,
      h('h2', null, 'Delete'), h('p', null, 'Everything in it goes, for good.'), button('Delete environment', () => remove(env), { class: 'danger' })),
  };
}

export async function open([name]) {
  if (name) return openOne(name);
  const rows = await loadEnvironments();
  const add = isAdmin() ? create : undefined;
  const list = table('Environments', [
    ['Name', (one) => link(`/environments/${one.name}`, one.name, { class: 'mono' })],
    ['Display name', (one) => one.displayName ?? ''],
    ['Secrets', (one) => link(`/secrets/${one.name}`, one._count.secrets, { 'aria-label': `${plural(one._count.secrets, 'secret')} of ${one.name}` }), 'number'],
    ['Vars', (one) => link(`/vars/${one.name}`, one._count.vars, { 'aria-label': `${plural(one._count.vars, 'var')} of ${one.name}` }), 'number'],
    ['Created', (one) => stamp(one.createdAt)],
  ], rows, emptyState('No environments yet', add ? 'Secrets live in environments, such as development and production.' : 'Ask an admin to give your account one.'));
  return { title: 'Environments', actions: add && button('New environment', add, { class: 'primary', 'aria-keyshortcuts': 'n' }), element: list, add };
}
