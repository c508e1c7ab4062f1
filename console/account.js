// One's own name, password and sessions. Must never: keep a password.

import { api, at, session } from './api.js';
import { sessions } from './people.js';
import { facts, field, form, h, input, scopeText, toast } from './ui.js';
import { environmentName } from './api.js';
import { navigate } from './app.js';

export async function open() {
  const { user, role } = session.me;
  const name = input('name', { value: user.name ?? '', autocomplete: 'name', autocapitalize: 'words', maxlength: 100 });
  const [old, fresh] = [['currentPassword', 'current-password'], ['newPassword', 'new-password']].map(([field, complete]) => input(field, { type: 'password', autocomplete: complete }));
  return {
    title: 'Your account',
    element: h('div', { class: 'column' },
      facts([['Email', user.email ?? ''], ['Role', role], ['Scope', scopeText(user.scope, environmentName)]]),
      form([field('Name', name)], {
        label: 'Save name',
        async submit() {
          await api('PATCH', at`/api/users/${user.id}`, { name: name.value.trim() });
          session.me.user.name = name.value.trim();
          toast('Your name is saved.');
        },
      }),
      h('h2', null, 'Password'),
      h('p', null, 'A new password ends all your sessions, this one too, and all your tokens.'),
      form([field('Current password', old), field('New password', fresh, { hint: 'At least 12 characters.' })], {
        label: 'Change password',
        async submit() {
          await api('POST', at`/api/users/${user.id}/change-password`, { currentPassword: old.value, newPassword: fresh.value });
          session.me = null;
          await navigate('/login');
          toast('Your password is changed. Log in with the new one.');
        },
      }),
      h('h2', null, 'Sessions'),
      sessions(user.id)),
  };
}
