/** Programs in Windows containers, and what they write. */
import type { Readable } from "node:stream";
import type { PodContainer } from "./pod.ts";

/** A program as an exec of a container is asked for. */
export function execOf(commandLine: string, fields: object = {}) {
  return { args: [], fields: { args: undefined, commandLine, ...fields } };
}

export interface Ended {
  readonly status: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs an exec to its end, and deletes it. */
export async function runExec(
  container: PodContainer,
  execId: string,
  commandLine: string,
  fields: object = {},
): Promise<Ended> {
  const stdio = await container.exec(execId, execOf(commandLine, fields));
  try {
    const [output, status] = await Promise.all([stdio.output(), container.wait(execId)]);
    await container.deleteExec(execId);
    return { status, stdout: output.stdout.toString(), stderr: output.stderr.toString() };
  } finally {
    stdio.close();
  }
}

/** What moves a terminal's cursor, names its window or sets colours. */
const controlSequences = new RegExp(
  `${String.fromCharCode(27)}(\\[[0-9;?]*[A-Za-z]|\\][^${String.fromCharCode(7)}]*${String.fromCharCode(7)})`,
  "g",
);

/** Reads until the text so far matches, and gives it without what steers a terminal; the rest stays to be read. */
export async function readUntil(stream: Readable, pattern: RegExp): Promise<string> {
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  let text = "";
  const onData = (chunk: Buffer): void => {
    text += chunk.toString("latin1");
    const plain = text.replaceAll(controlSequences, "");
    if (!pattern.test(plain)) return;
    stream.off("data", onData).off("end", onEnd).pause();
    resolve(plain);
  };
  const onEnd = (): void => reject(new Error(`the output ended with ${JSON.stringify(text)}: expected ${pattern}`));
  stream.on("data", onData).once("end", onEnd).resume();
  return await promise;
}
