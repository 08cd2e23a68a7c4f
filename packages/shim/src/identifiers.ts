import { ShimError } from "./errors.ts";

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
