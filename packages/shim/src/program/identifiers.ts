import { ShimError } from "../errors.ts";

/** containerd's own rule for identifiers. Ids and namespaces become parts of file names. */
const identifier = /^[A-Za-z0-9]+(?:[._-]+[A-Za-z0-9]+)*$/;
const longestIdentifier = 128;

/** The id, if it has the form that containerd gives to ids; else InvalidArgument. It becomes a part of paths. */
export function checkIdentifier(field: string, value: string): string {
  const expected = `expected up to ${longestIdentifier} letters and digits, with dots, dashes or underscores between them`;
  if (value === "") throw new ShimError("InvalidArgument", `${field} is missing, ${expected}`);
  if (value.length > longestIdentifier || !identifier.test(value)) {
    throw new ShimError("InvalidArgument", `${field} is ${JSON.stringify(value)}, ${expected}`);
  }
  return value;
}

/** InvalidArgument unless the exec's id can be one in this task. */
export function checkExecId(task: string, execId: string): void {
  checkIdentifier(`exec in task ${task}: exec_id`, execId);
  if (execId !== task) return;
  const reason = "events use that for the task's init process";
  throw new ShimError("InvalidArgument", `exec in task ${task}: exec_id must differ from the task's id: ${reason}`);
}
