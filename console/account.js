// The page about the user's own account: name, password, sessions, keyboard shortcuts.
// Must never: keep a password.

import { api, at, environmentName, session } from './api.js';
import { sessions } from './people.js';
import { KEYS, leave } from './router.js';
import {
	check,
	facts,
	field,
	form,
	h,
	LONG_ENOUGH,
	p,
	password,
	prose,
	roleName,
	scopeText,
	section,
	toast,
} from './ui.js';

export function open() {
	const { user, role } = session.me;
	const path = at`/api/users/${user.id}`;
	const name = prose('name', user.name, { autocomplete: 'name' });
	const [old, fresh] = [password('currentPassword', 'current-password'), password('newPassword')];
	const named = form(field('Name', name), 'Save name', async () => {
		user.name = (await api('PATCH', path, { name: name.value.trim() || null })).user.name;
		toast('Saved your name.');
	});
	const changed = form(
		[
			p('Changing your password ends all your sessions, including this one, and revokes your tokens.'),
			field('Current password', old),
			field('New password', fresh, LONG_ENOUGH),
		],
		'Change password',
		async () => {
			await api('POST', `${path}/change-password`, { currentPassword: old.value, newPassword: fresh.value });
			old.value = '';
			fresh.value = '';
			leave('/login');
			toast('Password changed. Log in with the new one.');
		},
	);
	const keys = check('keys', 'Keyboard shortcuts (/ to filter, n to add)', {
		checked: !localStorage.getItem(KEYS),
		onchange: () => localStorage.setItem(KEYS, keys.box.checked ? '' : 'off'),
	});
	const about = facts(
		['Email', user.email],
		['Role', roleName(role)],
		['Scope', scopeText(user.scope, environmentName)],
	);
	return {
		title: 'Your account',
		element: h(
			'div.column',
			null,
			about,
			named,
			keys,
			section('Password', changed),
			section('Sessions', sessions(user.id)),
		),
	};
}
