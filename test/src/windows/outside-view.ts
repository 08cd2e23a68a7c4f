/** Run under Wine: what is known of the Linux machine outside. */
import { podPaths } from "./case-paths.ts";

/** Has what is there taken down, for `nothingLeft`. */
export async function remember(): Promise<void> {
  await ask("remember");
}

/** Waits until nothing more is there than was remembered; names what still is when that takes too long. */
export function nothingLeft(): Promise<unknown> {
  return ask("left");
}

async function ask(what: string): Promise<unknown> {
  return await (await fetch(`${podPaths().outside}/${what}`)).json();
}
