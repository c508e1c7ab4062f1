// The first visit, and logging in. Must never: keep a password or token.

import { api, ApiError, get } from './api.js';
import { code, field, form, h, input, toast } from './ui.js';
import { enter, navigate } from './app.js';

const isOpen = async () => (await get('/api/auth/registration')).registration.open;

/** Nobody is logged in: to the first visit or to the login, and then back. */
export async function begin() {
  const path = location.pathname + location.search;
  const next = path === '/' ? '' : `?next=${encodeURIComponent(path)}`;
  return navigate((await isOpen()) ? '/setup' : `/login${next}`, { replace: true });
}

const page = (title, about, content) =>
  h('main', { class: 'plain', id: 'main' }, h('p', { class: 'brand' }, 'coffer'), h('h1', { tabindex: '-1' }, title), about, content);

const email = () => input('email', { type: 'email', autocomplete: 'username', inputmode: 'email' });

export async function openLogin() {
  if (await isOpen()) return navigate('/setup', { replace: true });
  const password = input('password', { type: 'password', autocomplete: 'current-password' });
  const address = email();
  const lost = new URLSearchParams(location.search).has('next');
  const sent = form([field('Email', address), field('Password', password)], {
    label: 'Log in',
    async submit() {
      const body = { email: address.value.trim(), password: password.value };
      try {
        await api('POST', '/api/auth/login', body, { keepSession: true });
      } catch (error) {
        if (error.status !== 401) throw error;
        password.value = '';
        throw new ApiError(401, { ...error, message: 'The email or the password is wrong.', hint: null });
      }
      password.value = '';
      await enter();
    },
  });
  const about = lost && h('p', { class: 'note' }, 'Your session has ended. Log in to go on where you were.');
  return { title: 'Log in', element: page('Log in', about, sent), shown: () => address.focus() };
}

export async function openSetup() {
  if (!(await isOpen())) return navigate('/login', { replace: true });
  const secret = (name, complete) => input(name, { type: 'password', autocomplete: complete });
  const [token, password, address, name] = [secret('token', 'off'), secret('password', 'new-password'), email(), input('name', { autocomplete: 'name', autocapitalize: 'words' })];
  const made = form(
    [
      field('Bootstrap token', token, { hint: ['It shows that this server is yours. On the server: ', code('cat data/bootstrap-token')] }),
      field('Email', address),
      field('Password', password, { hint: 'At least 12 characters.' }),
      field('Name (optional)', name),
    ],
    {
      label: 'Create the first admin',
      async submit() {
        const body = { email: address.value.trim(), password: password.value };
        if (name.value.trim()) body.name = name.value.trim();
        try {
          await api('POST', '/api/auth/register', body, { bearer: token.value.trim() || 'none', keepSession: true });
        } catch (error) {
          if (error.status !== 401) throw error;
          throw new ApiError(401, { ...error, message: 'This is not the bootstrap token of this server.', hint: null, field: 'token' });
        }
        token.value = password.value = '';
        await enter();
        toast('Welcome. You are the first admin.');
      },
    },
  );
  const about = h('p', null, 'This server has no users yet. Create the first one, who administers everything.');
  return { title: 'Set up coffer', element: page('Set up coffer', about, made), shown: () => token.focus() };
}
