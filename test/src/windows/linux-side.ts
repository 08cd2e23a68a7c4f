/** Run under Wine: what is known of the Linux machine outside. */
import { podPaths } from "./case-paths.ts";

/** Has what is there taken down, for what follows. */
export async function remember(): Promise<void> {
  await ask("remember");
}

/** What has come since: processes, compute systems, loop devices and more, each as a line. */
export function held(): Promise<unknown> {
  return ask("held");
}

/** As above, when it is nothing or that has taken too long. */
export function left(): Promise<unknown> {
  return ask("left");
}

/** Takes the compute service away. */
export async function loseService(): Promise<void> {
  await ask("lose-service");
}

async function ask(what: string): Promise<unknown> {
  return await (await fetch(`${podPaths().outside}/${what}`)).json();
}
