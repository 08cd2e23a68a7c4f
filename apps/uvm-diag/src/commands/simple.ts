import path from "node:path";
import { usage } from "../command-line/parse.ts";
import { type Context, podAndRest, withShim, writeJson } from "../context.ts";
import { writeTable } from "../output/output.ts";
import { plain, plainLines } from "../output/plain.ts";
import { stateCell } from "./list.ts";

const none = "(none)";

export async function stacks(context: Context): Promise<number> {
  const { output, options } = context;
  const { pod } = podAndRest(context, { least: 0, most: 0 });
  const found = await withShim(pod, context, (client) => client.stacks());
  if (options.json !== undefined) writeJson(output, found);
  else {
    for (const [title, text] of [
      ["Shim", found.shim],
      ["Guest", found.guest],
    ] as const) {
      output.line(output.style("bold", title));
      output.line(plainLines(text.trimEnd()) || none);
    }
  }
  return 0;
}

export async function share(context: Context): Promise<number> {
  const { output, options, platform } = context;
  const { pod, rest } = podAndRest(context, { least: 2, most: 2 });
  const [given = "", inVm = ""] = rest;
  // A path of the person's own shell: the shim has another working folder.
  const hostPath = (platform === "win32" ? path.win32 : path).resolve(given);
  if (!inVm.startsWith("/") && !/^[A-Za-z]:[\\/]/.test(inVm)) {
    throw usage(`share: VMPATH is ${JSON.stringify(inVm)}, expected an absolute path in the VM`);
  }
  const readOnly = options["read-only"] !== undefined;
  await withShim(pod, context, (client) => client.share(hostPath, inVm, readOnly));
  if (options.json !== undefined) writeJson(output, { hostPath, vmPath: inVm, readOnly });
  else output.line(plain(`${hostPath} is at ${inVm} in the VM${readOnly ? ", read-only" : ""}`));
  return 0;
}

export async function pid(context: Context): Promise<number> {
  const { output, options } = context;
  const { pod } = podAndRest(context, { least: 0, most: 0 });
  const found = await withShim(pod, context, (client) => client.pid());
  if (options.json !== undefined) writeJson(output, { pid: found });
  else output.line(`${found}`);
  return 0;
}

export async function tasks(context: Context): Promise<number> {
  const { output, options } = context;
  const { pod } = podAndRest(context, { least: 0, most: 0 });
  const withExecs = options.execs !== undefined;
  const found = await withShim(pod, context, (client) => client.tasks(withExecs));
  if (options.json !== undefined) {
    writeJson(output, withExecs ? found : found.map(({ id }) => ({ id })));
  } else if (found.length === 0) output.line("No tasks.");
  else if (withExecs) {
    writeTable(
      output,
      ["TASK", "EXEC", "STATE"],
      found.flatMap(({ id, execs }) =>
        execs.length === 0 ? [[id]] : execs.map((exec) => [id, exec.id || "init", stateCell(exec.state)]),
      ),
    );
  } else for (const { id } of found) output.line(plain(id));
  return 0;
}

export async function dump(context: Context): Promise<number> {
  const { output, options } = context;
  const { pod } = podAndRest(context, { least: 0, most: 0 });
  const text = await withShim(pod, context, (client) => (options.vm === undefined ? client.dump() : client.dumpVm()));
  output.line(plainLines(text.trimEnd()));
  return 0;
}
