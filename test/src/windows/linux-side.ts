/** Run under Wine: what the Linux machine outside holds. */
import { podPaths } from "./case-paths.ts";

/** Has the current holdings recorded, to compare later ones with. */
export async function remember(): Promise<void> {
  await ask("remember");
}

/** What has been added since: processes, compute systems, loop devices and more, each as a line. */
export function held(): Promise<unknown> {
  return ask("held");
}

/** The same, once there is nothing or time is up. */
export function left(): Promise<unknown> {
  return ask("left");
}

/** Containers that have a credential guard, by their ids. */
export function credentialGuards(): Promise<unknown> {
  return ask("credential-guards");
}

/** Ends the compute service. */
export async function loseService(): Promise<void> {
  await ask("lose-service");
}

async function ask(what: string): Promise<unknown> {
  return await (await fetch(`${podPaths().linuxSide}/${what}`)).json();
}
