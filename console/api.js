// Requests to the API, and the current session.
//
// Owns: fetch. Must never: keep a secret value, put any part of one into a URL, or send a
// request to any host other than the page's own.

export class ApiError extends Error {
	constructor(status, body) {
		super();
		Object.assign(this, { status, ...body });
	}
}

export class SessionLost extends Error {}

let whenLost;

// Sets what runs when a request finds that the session has ended.
export const onSessionLost = (act) => {
	whenLost = act;
};

const UNREACHABLE = {
	message: 'Cannot reach the server.',
	hint: 'Check that it is running. Your last change may or may not have been saved.',
};

/**
 * Sends one request and returns the JSON of the response, or throws an ApiError.
 * `bearer` is a token to send instead of the session; `keepSession` makes a 401 an
 * ordinary error instead of the end of the session.
 */
export async function api(method, path, body, { bearer, keepSession } = {}) {
	const headers = { 'X-Coffer': '1' };
	if (body !== undefined) headers['Content-Type'] = 'application/json';
	if (bearer) headers.Authorization = `Bearer ${bearer}`;
	const sent = { method, headers, body: body && JSON.stringify(body), cache: 'no-store', redirect: 'error' };
	const { me } = session;
	const response = await fetch(path, sent).catch(() => {
		throw new ApiError(0, UNREACHABLE);
	});
	const answer = await response
		.json()
		.catch(() => ({ message: `Unexpected response from the server (status ${response.status}).` }));
	if (response.ok) return answer;
	if (response.status === 401 && !keepSession) {
		// A late response to a session that is already over changes nothing.
		if (me && me === session.me) whenLost();
		throw new SessionLost();
	}
	const wait = response.headers.get('Retry-After');
	if (wait) answer.hint = `Try again in ${wait} s.`;
	throw new ApiError(response.status, answer);
}

export const get = (path, options) => api('GET', path, undefined, options);

// Builds a path and escapes the parts put into it.
export const at = (strings, ...parts) => String.raw({ raw: strings }, ...parts.map(encodeURIComponent));

// The logged-in user and the environments they have access to.
export const session = { me: null, environments: [] };

// Whether the session has this permission; scope names are the API's.
export const can = (scope) => session.me?.scopes.includes(scope) ?? false;
export const isAdmin = () => can('admin:*');

export async function loadSession() {
	session.me = await get('/api/auth/me', { keepSession: true });
	await loadEnvironments();
}

export async function loadEnvironments() {
	session.environments = (await get('/api/environments')).environments;
	dispatchEvent(new Event('environments'));
	return session.environments;
}

export const environment = (name) => session.environments.find((one) => one.name.toLowerCase() === name?.toLowerCase());
export const environmentName = (id) => session.environments.find((one) => one.id === id)?.name;
