// Requests to the API, and who is logged in.
//
// Owns: fetch. Must never: keep a value, put anything of one into a URL, or talk
// to another host than the page's own.

export class ApiError extends Error {
	constructor(status, body) {
		super();
		Object.assign(this, { status, ...body });
	}
}

export class SessionLost extends Error {}

let whenLost;

// Calls `act` when a request finds that there is no session any more.
export const onSessionLost = (act) => {
	whenLost = act;
};

const UNREACHABLE = {
	message: 'The server cannot be reached.',
	hint: 'Is it running? Whether the last change was made can be seen when it is back.',
};

/**
 * One request. `bearer` is a credential that stands in for the session.
 * Answers the JSON, or throws an ApiError.
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
		.catch(() => ({ message: `The server answered ${response.status}, and not in its own words.` }));
	if (response.ok) return answer;
	if (response.status === 401 && !keepSession) {
		// A late answer to somebody who has logged out since is no news.
		if (me && me === session.me) whenLost();
		throw new SessionLost();
	}
	const wait = response.headers.get('Retry-After');
	if (wait) answer.hint = `Try again in ${wait} s.`;
	throw new ApiError(response.status, answer);
}

export const get = (path, options) => api('GET', path, undefined, options);

// A path out of pieces that may hold anything.
export const at = (strings, ...parts) => String.raw({ raw: strings }, ...parts.map(encodeURIComponent));

// Who is logged in, and the environments that they reach.
export const session = { me: null, environments: [] };

// Whether the credential can do this, in the API's words for it.
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
