// Users, service accounts and tokens. Must never: keep a password, or a token
// after the dialog that shows it is closed.

import { api, at, environmentName, get, loadEnvironments, session } from './api.js';
import { stamp } from './format.js';
import { actions, adding, ago, alertBox, badge, busy, button, check, code, confirmByName, copyButton, dialog, emptyState, field, form, formDialog, h, input, link, LONG_ENOUGH, muted, p, password, prose, roleField, scopeFields, scopeText, section, select, table, toast } from './ui.js';
import { navigate } from './app.js';

const role = ['Role', (one) => one.role[0].toUpperCase() + one.role.slice(1)];
const scope = ['Scope', (one) => scopeText(one, environmentName)];
const state = ['State', (one) => (one.disabled ? badge('off', 'Disabled') : badge('good', 'Active'))];
const title = (one) => one.email ?? one.name;
const value = (element, name) => element.elements.namedItem(name)?.value;

// What users and service accounts have in common as pages.
async function accounts(kind, [id]) {
	const { one: word, base, path } = kind;
	const place = h('div');
	let rows;
	let shown;
	const refresh = async () => {
		[{ [kind.many]: rows }] = await Promise.all([get(path), loadEnvironments()]);
		const first = [kind.first, (one) => link(`/${base}/${one.id}`, title(one))];
		place.replaceChildren(table(kind.title, [first, ...kind.columns], rows, emptyState(`No ${kind.title.toLowerCase()} yet`, kind.empty)));
	};
	const common = (one) => {
		const [scopes, roles] = [scopeFields(session.environments, one), roleField(one?.role)];
		return [[field('Role', roles), scopes.element], () => ({ role: roles.value, ...scopes.read() })];
	};
	const edit = (one) => dialog(title(one), (close) => {
		const [fields, read] = common(one);
		const off = check('disabled', 'Disabled', { checked: one.disabled }, 'Its sessions and tokens end at once.');
		const saved = form([kind.fields(one), fields, off], {
			label: `Save ${word}`,
			async submit(element) {
				await api('PATCH', path + at`/${one.id}`, { ...kind.read(element), ...read(), disabled: off.box.checked });
				await refresh();
				close();
				toast(`${title(one)} is saved.`);
			},
		});
		const gone = () => confirmByName(`Delete ${title(one)}`, title(one), p('Sessions and tokens end at once. The audit log keeps the name.'), `Delete ${word}`, async () => {
			await api('DELETE', path + at`/${one.id}`);
			await refresh();
			close();
			return `${title(one)} is deleted.`;
		});
		return h('div', null, saved, kind.more?.(one), section('Delete', actions(button(`Delete ${word}`, gone, { class: 'danger' }))));
	}, {
		subject: true,
		onclose() {
			shown = null;
			if (location.pathname === `/${base}/${one.id}`) navigate(`/${base}`);
		},
	});
	const add = () => {
		const [fields, read] = common();
		formDialog(`New ${word}`, [kind.fields(), fields], {
			label: `Create ${word}`,
			async submit(element) {
				await api('POST', path, { ...kind.read(element), ...read() });
				await refresh();
				return `The ${word} is created.`;
			},
		});
	};
	const update = ([wanted]) => {
		const one = rows.find((row) => row.id === wanted);
		if (!wanted) shown?.close();
		else if (one) shown ??= edit(one);
		return true;
	};
	await refresh();
	return { title: kind.title, actions: adding(`New ${word}`, add), element: place, add, update, shown: () => update([id]) };
}

export const users = (rest) => accounts({
	title: 'Users', one: 'user', many: 'users', base: 'users', path: '/api/users', first: 'Email',
	empty: 'Create one for each person.',
	columns: [['Name', (one) => one.name], role, scope, state, ['Last active', (one) => ago(one.lastActiveAt)]],
	fields: (one) => [
		!one && field('Email', input('email', { type: 'email' })),
		field(one ? 'Name' : 'Name (optional)', prose('name', one?.name, { maxlength: 100 })),
		!one && field('Password', password('password'), LONG_ENOUGH),
	],
	read: (element) => ({ email: value(element, 'email')?.trim(), password: value(element, 'password'), name: value(element, 'name').trim() || null }),
	more: (one) => [
		section('Password', actions(button('Set password', () => {
			const given = password('newPassword');
			formDialog('Set password', [p(`All sessions and tokens of ${one.email} end.`), field('New password', given, LONG_ENOUGH)], {
				label: 'Set password',
				async submit() {
					await api('POST', at`/api/users/${one.id}/change-password`, { newPassword: given.value });
					return `${one.email} has a new password.`;
				},
			});
		}))),
		section('Sessions', sessions(one.id)),
	],
}, rest);

export function sessions(user) {
	const place = h('div', null, muted('Loading…'));
	const notes = alertBox();
	const path = at`/api/users/${user}/sessions`;
	const end = (label, where, kind) => {
		const control = button(label, () => busy(control, notes, async () => {
			await api('DELETE', where);
			toast('Ended.');
			await load();
		}), { class: kind });
		return control;
	};
	const load = async () => {
		const { sessions: all } = await get(path);
		place.replaceChildren(table('Sessions', [
			['Began', (one) => ago(one.createdAt)],
			['Last used', (one) => ago(one.lastUsedAt)],
			['From', (one) => one.ip, 'nowrap'],
			['Program', (one) => h('span', { title: one.userAgent }, one.userAgent?.slice(0, 40))],
			['', (one) => (one.current ? badge('good', 'This one') : end('End session', `${path}/${one.id}`, 'small'))],
		], all, muted('None.')), all.length && user !== session.me.user.id ? actions(end('End all sessions', path)) : '');
	};
	load().catch(notes.show);
	return h('div', null, notes.box, place);
}

export const serviceAccounts = (rest) => accounts({
	title: 'Service accounts', one: 'service account', many: 'serviceAccounts', base: 'service-accounts', path: '/api/admin/service-accounts', first: 'Name',
	empty: 'Machines get tokens of a service account, which no person takes along when they leave.',
	columns: [
		['Description', (one) => one.description], role, scope, state,
		['Tokens', (one) => link(`/tokens?owner=${one.id}`, one._count.apiTokens, { 'aria-label': `Tokens of ${one.name}: ${one._count.apiTokens}` }), 'number'],
	],
	fields: (one) => [
		!one && field('Name', input('name'), { hint: 'Small letters, digits, dashes and _, such as deploy.' }),
		field('Description', prose('description', one?.description)),
	],
	read: (element) => ({ name: value(element, 'name')?.trim(), description: value(element, 'description') || null }),
}, rest);

export async function tokens() {
	const [people, machines] = await Promise.all([get('/api/users'), get('/api/admin/service-accounts'), loadEnvironments()]);
	const owners = [...machines.serviceAccounts, ...people.users].map((one) => [one.id, title(one)]);
	const ownerName = (id) => owners.find(([other]) => other === id)?.[1] ?? 'the host';
	const only = new URLSearchParams(location.search).get('owner');
	const place = h('div');
	async function load() {
		const { tokens: all } = await get('/api/admin/tokens');
		const rows = all.filter((one) => !only || only === (one.serviceAccountId ?? one.userId));
		const gone = (one) => confirmByName(`Delete token ${one.name}`, one.name, p('Whoever uses it is refused from then on.'), 'Delete token', async () => {
			await api('DELETE', at`/api/admin/tokens/${one.id}`);
			await load();
			return `Token ${one.name} is deleted.`;
		});
		const expires = ({ expiresAt: end }) => (end ? (Date.parse(end) < Date.now() ? badge('bad', 'Expired') : stamp(end).slice(0, 10)) : 'never');
		place.replaceChildren(only ? h('p.lead', null, `Those of ${ownerName(only)}. `, link('/tokens', 'Show all')) : '', table('Tokens', [
			['Name', (one) => one.name],
			['Starts with', (one) => code(one.tokenPrefix)],
			['Owner', (one) => ownerName(one.serviceAccountId ?? one.userId)],
			role, scope,
			['Last used', (one) => ago(one.lastUsedAt)],
			['Expires', expires],
			['', (one) => button('Delete', () => gone(one), { class: 'small', 'aria-label': `Delete token ${one.name}` })],
		], rows, emptyState('No tokens yet', 'Programs show a token to the API. Create one for each, with the least that it needs.')));
	}
	const add = () => {
		const [name, roles, scopes] = [input('name', { maxlength: 100 }), roleField(), scopeFields(session.environments)];
		const who = select('owner', [['', 'Yourself'], ...owners.filter(([id]) => id !== session.me.user.id)], only ?? '');
		const life = select('expiresInDays', [['30', '30 days'], ['90', '90 days'], ['365', 'A year'], ['', 'Never']], '90');
		formDialog('New token', [field('Name', name, { hint: 'What it is for, such as ci.' }), field('Owner', who), field('Role', roles), scopes.element, field('Expires in', life)], {
			label: 'Create token',
			async submit(_, close) {
				const body = { name: name.value.trim(), role: roles.value, ...scopes.read(), expiresInDays: Number(life.value) || null };
				if (who.value) body[who.value.startsWith('usr_') ? 'ownerUserId' : 'ownerServiceAccountId'] = who.value;
				const { token } = await api('POST', '/api/admin/tokens', body);
				close();
				showToken(token);
				await load();
			},
		});
	};
	await load();
	return { title: 'Tokens', actions: adding('New token', add), element: place, add };
}

function showToken(token) {
	dialog('Copy the token now', (close) => {
		const shown = input('token', { readonly: true, class: 'mono', value: token, onfocus: () => shown.select() });
		return h('div', null, p('It is shown this once. The server keeps only a hash of it.'), field('Token', shown), actions(copyButton('Copy token', () => shown.value), button('Done', close, { class: 'primary' })));
	});
}
