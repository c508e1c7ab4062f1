// One's own name, password and sessions. Must never: keep a password.

import { api, at, environmentName, session } from './api.js';
import { sessions } from './people.js';
import { facts, field, form, h, LONG_ENOUGH, p, password, prose, scopeText, section, toast } from './ui.js';
import { leave } from './app.js';

export async function open() {
	const { user, role } = session.me;
	const path = at`/api/users/${user.id}`;
	const name = prose('name', user.name, { autocomplete: 'name', maxlength: 100 });
	const [old, fresh] = [password('currentPassword', 'current-password'), password('newPassword')];
	const named = form(field('Name', name), {
		label: 'Save name',
		async submit() {
			user.name = (await api('PATCH', path, { name: name.value.trim() || null })).user.name;
			toast('Your name is saved.');
		},
	});
	const changed = form([p('A new password ends all your sessions, this one too, and all your tokens.'), field('Current password', old), field('New password', fresh, LONG_ENOUGH)], {
		label: 'Change password',
		async submit() {
			await api('POST', `${path}/change-password`, { currentPassword: old.value, newPassword: fresh.value });
			leave('/login');
			toast('Your password is changed. Log in with the new one.');
		},
	});
	const about = facts(['Email', user.email], ['Role', role], ['Scope', scopeText(user.scope, environmentName)]);
	return { title: 'Your account', element: h('div.column', null, about, named, section('Password', changed), section('Sessions', sessions(user.id))) };
}
