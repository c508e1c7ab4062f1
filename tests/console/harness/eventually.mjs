// Waits for a condition of the page or the server, never for a fixed time.

/** How long to wait for a condition, in milliseconds. */
export const PATIENCE = Number(process.env.COFFER_BROWSER_PATIENCE ?? 15_000);

/** Calls `question` until it returns something other than false, null or undefined. */
export async function eventually(what, question, patience = PATIENCE) {
	const until = Date.now() + patience;
	for (let last; ; ) {
		try {
			const answer = await question();
			if (answer !== false && answer !== null && answer !== undefined) return answer;
			last = new Error(`it was ${answer}`);
		} catch (error) {
			last = error;
		}
		if (Date.now() > until) {
			throw new Error(`timed out waiting for: ${what}: ${last.message}`, { cause: last });
		}
		await new Promise((resolve) => setTimeout(resolve, 25));
	}
}
