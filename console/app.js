// The frame: which view is shown for which URL, the navigation, keys.
//
// Must never: keep more between visits than the last environment's name.

import { api, can, environment, get, isAdmin, loadSession, onSessionLost, session, SessionLost } from './api.js';
import { alertBox, busy, button, dialog, emptyState, h, link, toast } from './ui.js';
import * as login from './login.js';
import * as secrets from './secrets.js';
import * as vars from './vars.js';
import * as environments from './environments.js';
import * as workloads from './workloads.js';
import { serviceAccounts, tokens, users } from './people.js';
import * as audit from './audit.js';
import * as status from './status.js';
import * as account from './account.js';

// A view opens for the rest of its path and answers {title, element}, and if it
// likes update(rest) for another path of its own, add() for the key n, filter for
// the key /, and stop().
const VIEWS = {
  login: { open: login.openLogin, bare: true },
  setup: { open: login.openSetup, bare: true },
  secrets: { open: secrets.open, of: 'environment', label: 'Secrets' },
  vars: { open: vars.open, of: 'environment', label: 'Vars' },
  workloads: { open: workloads.open, of: 'environment', label: 'Workloads' },
  environments: { open: environments.open, label: 'Environments' },
  users: { open: users, label: 'Users', admin: true },
  'service-accounts': { open: serviceAccounts, label: 'Service accounts', admin: true },
  tokens: { open: tokens, label: 'Tokens', admin: true },
  audit: { open: audit.open, label: 'Audit log' },
  status: { open: status.open, label: 'Status', admin: true },
  account: { open: account.open },
};
const LAST = 'coffer.environment';

const app = document.getElementById('app');
const main = h('main', { id: 'main', tabindex: '-1' });
const progress = h('div', { class: 'progress', hidden: true });
let frame = null;
let current = null;
let turn = 0;

const remembered = () => environment(localStorage.getItem(LAST)) ?? session.environments[0];
const here = () => location.pathname + location.search;

/** Goes to a path of the console. */
export function navigate(path, { replace = false } = {}) {
  if (path !== here()) history[replace ? 'replaceState' : 'pushState'](null, '', path);
  return route();
}

/** Where the first page is. */
export const home = () => (remembered() ? `/secrets/${remembered().name}` : '/environments');

async function route() {
  const mine = (turn += 1);
  const [name = '', ...rest] = location.pathname.split('/').slice(1).map(decodeURIComponent);
  if (!name) return navigate(home(), { replace: true });
  const view = VIEWS[name];
  if (!view) return show({ title: 'Not here', element: h('p', null, 'There is no such page. ', link('/', 'Go to your secrets')) });
  if (!view.bare && !session.me) return login.begin();
  if (current?.view === view && current.update?.(rest)) return undefined;
  if (view.of && !environment(rest[0])) {
    if (!rest[0] && remembered()) return navigate(`/${name}/${remembered().name}`, { replace: true });
    return show(noEnvironment(rest[0]), view);
  }
  if (view.of) localStorage.setItem(LAST, environment(rest[0]).name);
  const slow = setTimeout(() => (progress.hidden = false), 150);
  try {
    const opened = await view.open(rest);
    if (mine === turn && opened) show(opened, view);
    else opened?.stop?.();
  } catch (error) {
    if (mine !== turn || error instanceof SessionLost) return undefined;
    const notes = alertBox();
    notes.show(error);
    show({ title: view.label ?? 'coffer', element: h('div', null, notes.box, button('Try again', route)) }, view);
  } finally {
    clearTimeout(slow);
    progress.hidden = true;
  }
  return undefined;
}

const noEnvironment = (name) => ({
  title: 'No such environment',
  element: emptyState(
    name ? `There is no environment ${name}` : 'There are no environments yet',
    'It may have been deleted, or your account does not reach it.',
    link('/environments', 'See the environments', { class: 'button' }),
  ),
});

function show(opened, view) {
  closeDialogs();
  current?.stop?.();
  const first = !current;
  current = { ...opened, view };
  if (view?.bare || !session.me) {
    frame = null;
    app.replaceChildren(opened.element);
  } else {
    if (!frame) app.replaceChildren(...makeFrame());
    const heading = h('h1', { tabindex: '-1' }, opened.title);
    main.replaceChildren(h('div', { class: 'title' }, heading, opened.actions), opened.element);
    frame();
    if (!first) heading.focus({ preventScroll: true });
    scrollTo(0, 0);
  }
  const where = view?.of ? ` · ${decodeURIComponent(location.pathname.split('/')[2] ?? '')}` : '';
  document.title = `${opened.title}${where} · coffer`;
  opened.shown?.();
}

function closeDialogs() {
  for (const open of [...document.querySelectorAll('dialog[open]')].reverse()) open.close();
}

function makeFrame() {
  const picker = h('select', { id: 'environment', 'aria-label': 'Environment' });
  const list = h('ul');
  const toggle = button('Menu', () => open(toggle.getAttribute('aria-expanded') === 'false'), { class: 'menu', 'aria-expanded': 'false', 'aria-controls': 'nav' });
  const nav = h('nav', { id: 'nav', 'aria-label': 'Main' }, h('label', { for: 'environment' }, 'Environment'), picker, list,
    h('div', { class: 'who' },
      link('/account', session.me.user.email ?? session.me.user.name ?? session.me.user.id),
      button('Log out', (event) => busy(event.currentTarget, logout)),
      link('/api/docs', 'API', { target: '_blank', rel: 'noopener' })));
  const open = (wanted) => {
    toggle.setAttribute('aria-expanded', wanted);
    nav.classList.toggle('open', wanted);
  };
  const fill = () => {
    const names = session.environments.map((one) => h('option', { value: one.name }, one.name));
    picker.replaceChildren(...(names.length ? names : [h('option', { value: '' }, 'None yet')]));
    picker.value = remembered()?.name ?? '';
  };
  picker.addEventListener('change', () => {
    const [name] = location.pathname.split('/').slice(1);
    localStorage.setItem(LAST, picker.value);
    navigate(`/${VIEWS[name]?.of ? name : 'secrets'}/${picker.value}`);
  });
  addEventListener('environments', fill);
  frame = () => {
    const [shown] = location.pathname.split('/').slice(1);
    const item = ([name, view]) => {
      const where = view.of && remembered() ? `/${name}/${remembered().name}` : `/${name}`;
      return h('li', { class: name === 'environments' ? 'apart' : null }, link(where, view.label, { 'aria-current': name === shown ? 'page' : null }));
    };
    list.replaceChildren(...Object.entries(VIEWS).filter(([, view]) => view.label && (!view.admin || isAdmin())).map(item));
    fill();
    open(false);
  };
  return [
    link('#main', 'Skip to content', { class: 'skip' }),
    progress,
    h('header', { class: 'bar' }, link('/', 'coffer', { class: 'brand' }), toggle, nav),
    main,
  ];
}

async function logout() {
  try {
    await api('POST', '/api/auth/logout', {});
  } catch (error) {
    if (!(error instanceof SessionLost)) return toast(`${error.message} You are still logged in.`);
  }
  return leave('/login');
}

function leave(path) {
  session.me = null;
  session.environments = [];
  return navigate(path);
}

onSessionLost(() => {
  if (!session.me) return;
  leave(`/login?next=${encodeURIComponent(here())}`);
});

/** The server knows who this is: to where they wanted to go. */
export async function enter() {
  await loadSession();
  const next = new URLSearchParams(location.search).get('next') ?? '/';
  const url = new URL(next, location.origin);
  return navigate(url.origin === location.origin && next.startsWith('/') ? url.pathname + url.search : '/', { replace: true });
}

const keys = () =>
  dialog('Keyboard', () => h('dl', { class: 'keys' }, [
    ['/', 'Filter'], ['n', 'Add'], ['↑ ↓ Home End', 'Move among rows'], ['Enter', 'Open'], ['Esc', 'Close, or empty the filter'], ['?', 'This list'],
  ].map(([key, what]) => h('div', null, h('dt', null, h('kbd', null, key)), h('dd', null, what)))));

addEventListener('keydown', (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector('dialog[open]')) return;
  if (event.target.closest?.('input, textarea, select')) return;
  const acts = {
    '/': current?.filter && (() => current.filter.focus()),
    n: current?.add,
    '?': session.me && keys,
  };
  if (!acts[event.key]) return;
  event.preventDefault();
  acts[event.key]();
});

addEventListener('click', (event) => {
  const anchor = event.target.closest?.('a[href]');
  const plain = event.button === 0 && !event.ctrlKey && !event.metaKey && !event.shiftKey && !event.altKey;
  if (!anchor || !plain || anchor.target || event.defaultPrevented) return;
  const path = anchor.getAttribute('href');
  if (!path.startsWith('/') || path.startsWith('/api')) return;
  event.preventDefault();
  navigate(path);
});

addEventListener('popstate', () => {
  if (!current?.view?.of) closeDialogs();
  route();
});

// A page that comes back from the browser's cache may belong to another session.
addEventListener('pageshow', (event) => event.persisted && location.reload());

async function boot() {
  const [name] = location.pathname.split('/').slice(1);
  if (VIEWS[name]?.bare) return route();
  try {
    session.me = await get('/api/auth/me', { keepSession: true });
    await loadSession();
  } catch (error) {
    session.me = null;
    if (error.status !== 401) {
      const notes = alertBox();
      notes.show(error);
      return app.replaceChildren(h('main', { class: 'plain' }, h('h1', null, 'coffer'), notes.box, button('Try again', () => location.reload())));
    }
  }
  return route();
}

boot();
export { can };
