import { ShimError } from "../errors.ts";

/** Ids and namespaces become parts of file names, so they are held to containerd's own alphabet for identifiers. */
const identifier = /^[A-Za-z0-9]+(?:[._-]+[A-Za-z0-9]+)*$/;
const longestIdentifier = 128;

/** Throws InvalidArgument that names the field, its value and what would be accepted. */
export function checkIdentifier(field: string, value: string): string {
  const accepted = `accepted are up to ${longestIdentifier} letters and digits, with dots, dashes or underscores between them`;
  if (value === "") throw new ShimError("InvalidArgument", `${field} is missing; ${accepted}`);
  if (value.length > longestIdentifier || !identifier.test(value)) {
    throw new ShimError("InvalidArgument", `${field} is ${JSON.stringify(value)}; ${accepted}`);
  }
  return value;
}

/** Of a process that is added to a task. */
export function checkExecId(task: string, execId: string): void {
  checkIdentifier(`exec in task ${task}: exec_id`, execId);
  if (execId !== task) return;
  const why = "events name the task's first process by it, whose exit that of the exec would pass for";
  throw new ShimError(
    "InvalidArgument",
    `exec in task ${task}: exec_id is the task's own id; accepted is any other: ${why}`,
  );
}
