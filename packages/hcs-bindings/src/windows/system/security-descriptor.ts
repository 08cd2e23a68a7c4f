import type { Kernel } from "../io/completion-port.ts";
import type { securityFunctions } from "../native/kernel-functions.ts";
import type { NativeLibrary } from "../native/native-types.ts";
import { systemStructures } from "../native/system-structures.ts";
import { WindowsError } from "../native/windows-error.ts";

/** The functions of advapi32.dll about security descriptors. */
export type Security = NativeLibrary<typeof securityFunctions>;

/** Full access for Administrators and SYSTEM only, in SDDL. */
export const administratorsOnly = "D:P(A;;GA;;;BA)(A;;GA;;;SY)";

const SDDL_REVISION_1 = 1;
const { SECURITY_ATTRIBUTES: attributes } = systemStructures;

/**
 * Passes the SECURITY_ATTRIBUTES of a descriptor to `call`; they are freed when it returns. Throws a WindowsError if the
 * descriptor is invalid.
 */
export function withSecurity<Value>(
  kernel: Kernel,
  security: Security,
  descriptor: string,
  call: (attributes: Buffer) => Value,
): Value {
  const name = "ConvertStringSecurityDescriptorToSecurityDescriptorW";
  const found = Buffer.alloc(8);
  if (security.call(name, descriptor, SDDL_REVISION_1, found, null) === 0) {
    throw new WindowsError(name, kernel.call("GetLastError"));
  }
  const address = found.readBigUInt64LE();
  try {
    return call(attributes.encode({ nLength: attributes.size, lpSecurityDescriptor: address }));
  } finally {
    kernel.call("LocalFree", address);
  }
}
