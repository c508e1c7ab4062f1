// Waiting for what the page, or the server, will say in a moment: never for a time.

/** How long a condition may take to come true, in milliseconds. */
export const PATIENCE = Number(process.env.COFFER_BROWSER_PATIENCE ?? 15_000);

/** Asks again until `question` neither throws nor answers false; gives its answer. */
export async function eventually(what, question, patience = PATIENCE) {
  const until = Date.now() + patience;
  for (let last; ;) {
    try {
      const answer = await question();
      if (answer !== false && answer !== null && answer !== undefined) return answer;
      last = new Error(`it was ${answer}`);
    } catch (error) {
      last = error;
    }
    if (Date.now() > until) {
      throw new Error(`in vain: ${what}: ${last.message}`, { cause: last });
    }
    await new Promise((resolve) => setTimeout(resolve, 25));
  }
}
