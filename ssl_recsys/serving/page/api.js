// The server's API; every failure becomes an Error with a sentence for the user.

export class ApiError extends Error {
  constructor(message, status = 0) {
    super(message);
    this.status = status;
  }
}

/** The JSON answer of a call: `call("v1/items/a", { method: "DELETE", query: { model } })`. */
export async function call(path, { query = {}, method = "GET", body, headers = {}, signal } = {}) {
  const given = Object.entries(query).flatMap(([name, value]) => [value].flat().map((one) => [name, one]));
  const url = given.length ? `${path}?${new URLSearchParams(given)}` : path;
  let answer;
  try {
    answer = await fetch(url, {
      method,
      signal,
      headers: body === undefined ? headers : { "Content-Type": "application/json", ...headers },
      body: body === undefined ? undefined : JSON.stringify(body),
    });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError("The server cannot be reached. Is it still running?");
  }
  if (answer.ok) return { status: answer.status, ...(await answer.json()) };
  throw new ApiError(await inWords(answer), answer.status);
}

async function inWords(answer) {
  if (answer.status === 503) {
    const seconds = answer.headers.get("Retry-After");
    return `The server is busy; try again in ${seconds && seconds !== "1" ? `${seconds} seconds` : "a second"}.`;
  }
  try {
    const { detail } = await answer.json();
    if (typeof detail === "string") return detail;
    if (Array.isArray(detail)) return detail.map((one) => one.msg).join("; ");
  } catch {
    // No JSON: the status has to do.
  }
  return `The server answered with status ${answer.status}.`;
}

/**
 * A function that runs `work(signal, ...given)` for the newest call alone: a newer one aborts the
 * one before, whose answer, should it still come, is dropped. With `delay`, in milliseconds, it
 * waits until no further call has come for so long. Its `cancel()` drops the newest call too.
 */
export function newest(work, { delay = 0, done, failed }) {
  let running = new AbortController();
  const run = async (...given) => {
    running.abort();
    const mine = (running = new AbortController());
    try {
      if (delay) await new Promise((resolve) => setTimeout(resolve, delay));
      if (mine.signal.aborted) return;
      const result = await work(mine.signal, ...given);
      if (!mine.signal.aborted) done(result);
    } catch (error) {
      if (!mine.signal.aborted) failed(error);
    }
  };
  run.cancel = () => running.abort();
  return run;
}
