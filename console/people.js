// The pages for users, service accounts and tokens, and the list of a user's sessions.
// Must never: keep a password, or keep a token after the dialog that shows it is closed.

import { api, at, environmentName, get, loadEnvironments, session } from './api.js';
import { stamp } from './format.js';
import { byUrl } from './router.js';
import {
	actions,
	adding,
	alertBox,
	badge,
	busy,
	button,
	changed,
	check,
	code,
	confirmDelete,
	copyButton,
	dialog,
	div,
	emptyState,
	field,
	form,
	formDialog,
	h,
	input,
	LONG_ENOUGH,
	link,
	muted,
	p,
	password,
	prose,
	roleField,
	roleName,
	say,
	scopeFields,
	scopeText,
	section,
	select,
	table,
	toast,
} from './ui.js';

const role = ['Role', (one) => roleName(one.role)];
const scope = ['Scope', (one) => scopeText(one, environmentName)];
const state = ['State', (one) => (one.disabled ? badge('off', 'Disabled') : badge('good', 'Active'))];
const title = (one) => one.email ?? one.name;
const value = (element, name) => element.elements.namedItem(name)?.value;

// The page for users or for service accounts; `kind` says how they differ.
async function accounts(kind, [id]) {
	const { one: word, base, path } = kind;
	const place = div();
	let rows;
	const refresh = () => load().catch(say);
	const load = async () => {
		[{ [kind.many]: rows }] = await Promise.all([get(path), loadEnvironments()]);
		const first = [kind.first, (one) => link(`/${base}/${one.id}`, title(one))];
		place.replaceChildren(
			table(
				kind.title,
				[first, ...kind.columns],
				rows,
				emptyState(`No ${kind.title.toLowerCase()} yet`, kind.empty),
			),
		);
	};
	const common = (one) => {
		const [scopes, roles] = [scopeFields(session.environments, one), roleField(one?.role)];
		return [[field('Role', roles), scopes.element], () => ({ role: roles.value, ...scopes.read() })];
	};
	const follow = byUrl(
		`/${base}`,
		(wanted) => rows.find((row) => row.id === wanted),
		(wanted) => `No ${word} with the ID ${wanted}.`,
		(one, onclose) =>
			dialog(
				title(one),
				(close) => {
					const [fields, read] = common(one);
					const off = check(
						'disabled',
						'Disabled',
						{ checked: one.disabled },
						'Ends all sessions and revokes all tokens immediately.',
					);
					const saved = form([kind.fields(one), fields, off], `Save ${word}`, async (element) => {
						await api(
							'PATCH',
							path + at`/${one.id}`,
							changed({ ...kind.read(element), ...read(), disabled: off.box.checked }, one),
						);
						await refresh();
						close();
						toast(`Saved ${title(one)}.`);
					});
					const gone = () =>
						confirmDelete(
							word,
							title(one),
							p('Ends all sessions and revokes all tokens immediately. The audit log keeps the name.'),
							() => path + at`/${one.id}`,
							async () => {
								await refresh();
								close();
							},
						);
					return div(
						saved,
						kind.more?.(one),
						section('Delete', actions(button(`Delete ${word}`, gone, { class: 'danger' }))),
					);
				},
				{ subject: true, onclose },
			),
	);
	const add = () => {
		const [fields, read] = common();
		formDialog(`New ${word}`, [kind.fields(), fields], `Create ${word}`, async (element) => {
			const body = { ...kind.read(element), ...read() };
			await api('POST', path, body);
			await refresh();
			return `Created ${title(body)}.`;
		});
	};
	const update = ([wanted]) => {
		follow(wanted);
		return true;
	};
	await load();
	return {
		title: kind.title,
		actions: adding(`New ${word}`, add),
		element: place,
		add,
		update,
		shown: () => update([id]),
	};
}

export const users = (rest) =>
	accounts(
		{
			title: 'Users',
			one: 'user',
			many: 'users',
			base: 'users',
			path: '/api/users',
			first: 'Email',
			empty: 'Create one account per person.',
			columns: [['Name', 'name'], role, scope, state, ['Last active', 'lastActiveAt']],
			fields: (one) => [
				!one && field('Email', input('email', { type: 'email' })),
				field(one ? 'Name' : 'Name (optional)', prose('name', one?.name)),
				!one && field('Password', password('password'), LONG_ENOUGH),
			],
			read: (element) => ({
				email: value(element, 'email')?.trim(),
				password: value(element, 'password'),
				name: value(element, 'name').trim() || null,
			}),
			more: (one) => [
				section(
					'Password',
					actions(
						one.id === session.me.user.id
							? link('/account', 'Change it in your account')
							: button('Set password', () => {
									const given = password('newPassword');
									formDialog(
										'Set password',
										[
											p(`This ends all sessions and revokes all tokens of ${one.email}.`),
											field('New password', given, LONG_ENOUGH),
										],
										'Set password',
										async () => {
											await api('POST', at`/api/users/${one.id}/change-password`, {
												newPassword: given.value,
											});
											return `Changed the password of ${one.email}.`;
										},
									);
								}),
					),
				),
				section('Sessions', sessions(one.id)),
			],
		},
		rest,
	);

export function sessions(user) {
	const place = div(muted('Loading…'));
	const notes = alertBox();
	const path = at`/api/users/${user}/sessions`;
	const end = (label, where, done, kind) => {
		const control = button(
			label,
			() =>
				busy(control, notes, async () => {
					await api('DELETE', where);
					toast(done);
					await load();
				}),
			{ class: kind },
		);
		return control;
	};
	const load = async () => {
		const { sessions: all } = await get(path);
		place.replaceChildren(
			table(
				'Sessions',
				[
					['Started', 'createdAt'],
					['Last used', 'lastUsedAt'],
					['IP', 'ip', 'nowrap'],
					['Browser', (one) => h('span', { title: one.userAgent }, one.userAgent?.slice(0, 40))],
					[
						'',
						(one) =>
							one.current
								? badge('good', 'Current')
								: end('End session', `${path}/${one.id}`, 'Session ended.', 'small'),
					],
				],
				all,
				muted('No sessions'),
			),
			all.length && user !== session.me.user.id
				? actions(end('End all sessions', path, 'All sessions ended.'))
				: '',
		);
	};
	load().catch(notes.show);
	return div(notes.box, place);
}

export const serviceAccounts = (rest) =>
	accounts(
		{
			title: 'Service accounts',
			one: 'service account',
			many: 'serviceAccounts',
			base: 'service-accounts',
			path: '/api/admin/service-accounts',
			first: 'Name',
			empty: 'Create one per machine or pipeline. Its tokens keep working when people leave.',
			columns: [
				['Description', 'description'],
				role,
				scope,
				state,
				[
					'Tokens',
					(one) =>
						link(`/tokens?ownerServiceAccountId=${one.id}`, one._count.apiTokens, {
							'aria-label': `Tokens of ${one.name}: ${one._count.apiTokens}`,
						}),
					'number',
				],
			],
			fields: (one) => [
				!one && field('Name', input('name'), 'Lowercase letters, digits, - and _. For example deploy.'),
				field('Description', prose('description', one?.description)),
			],
			read: (element) => ({
				name: value(element, 'name')?.trim(),
				description: value(element, 'description') || null,
			}),
		},
		rest,
	);

export async function tokens() {
	const [people, machines] = await Promise.all([
		get('/api/users'),
		get('/api/admin/service-accounts'),
		loadEnvironments(),
	]);
	const owners = [...machines.serviceAccounts, ...people.users].map((one) => [one.id, title(one)]);
	const ownerName = (id) => owners.find(([other]) => other === id)?.[1] ?? 'Server';
	const place = div();
	async function load() {
		const { tokens: rows } = await get(`/api/admin/tokens${location.search}`);
		const gone = (one) =>
			confirmDelete(
				'token',
				one.name,
				p('Programs that use it lose access immediately.'),
				() => at`/api/admin/tokens/${one.id}`,
				load,
			);
		const expires = ({ expiresAt: end }) => {
			if (!end) return 'Never';
			return Date.parse(end) < Date.now() ? badge('bad', 'Expired') : stamp(end).slice(0, 10);
		};
		place.replaceChildren(
			location.search && p(link('/tokens', 'Show all tokens')),
			table(
				'Tokens',
				[
					['Name', 'name'],
					['Prefix', (one) => code(one.tokenPrefix), 'nowrap'],
					['Owner', (one) => ownerName(one.serviceAccountId ?? one.userId)],
					role,
					scope,
					['Last used', 'lastUsedAt'],
					['Expires', expires, 'nowrap'],
					[
						'',
						(one) =>
							button('Delete', () => gone(one), {
								class: 'small',
								'aria-label': `Delete token ${one.name}`,
							}),
					],
				],
				rows,
				emptyState(
					'No tokens yet',
					'Programs use tokens to call the API. Create one per program, with only the access it needs.',
				),
			),
		);
	}
	const add = () => {
		const [name, roles, scopes] = [input('name'), roleField(), scopeFields(session.environments)];
		const who = select(
			'owner',
			[['', 'You'], ...owners.filter(([id]) => id !== session.me.user.id)],
			location.search.split('=')[1] ?? '',
		);
		const life = select(
			'expiresInDays',
			[
				['30', '30 days'],
				['90', '90 days'],
				['365', '1 year'],
				['', 'Never'],
			],
			'90',
		);
		formDialog(
			'New token',
			[
				field('Name', name, 'For example ci.'),
				field('Owner', who),
				field('Role', roles),
				scopes.element,
				field('Expires in', life),
			],
			'Create token',
			async (_, close) => {
				const body = {
					name: name.value.trim(),
					role: roles.value,
					...scopes.read(),
					expiresInDays: Number(life.value) || null,
				};
				if (who.value) body[who.value.startsWith('usr_') ? 'ownerUserId' : 'ownerServiceAccountId'] = who.value;
				const { token } = await api('POST', '/api/admin/tokens', body);
				close();
				showToken(token);
				await load();
			},
		);
	};
	await load();
	return { title: 'Tokens', actions: adding('New token', add), element: place, add };
}

function showToken(token) {
	dialog('Token created', (close) => {
		const shown = input('token', { readonly: true, class: 'mono', value: token, onfocus: () => shown.select() });
		return div(
			p('Save this token now. It will not be shown again.'),
			field('Token', shown),
			actions(
				copyButton('Copy token', () => shown.value),
				button('Done', close, { class: 'primary' }),
			),
		);
	});
}
