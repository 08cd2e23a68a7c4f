import { copyFile, rm } from "node:fs/promises";
import type { SecurityPolicy } from "@uvm-shim/hcs-schema";
import { systemClock } from "@uvm-shim/lifecycle";
import { readNamedFile } from "@uvm-shim/shim";

/** A reference file reaches the guest in one message; real ones are far smaller. */
const largestReferenceFile = 16 * 1024 * 1024;

/** A guest's security policy, as the sandbox's settings name it. */
export interface PolicySettings {
  /** In base64. */
  readonly policy: string;
  readonly enforcer: string;
  /** Paths; empty for none. */
  readonly referenceInfoFile: string;
  readonly hashEnvelopeReferenceInfoFile: string;
}

/** The message to the guest of a VM with a security policy. Omits reference files that do not exist. */
export async function securityPolicyOf(settings: PolicySettings): Promise<SecurityPolicy> {
  const { policy, enforcer, referenceInfoFile, hashEnvelopeReferenceInfoFile } = settings;
  const [reference, envelope] = await Promise.all([referenceInfoFile, hashEnvelopeReferenceInfoFile].map(encodedFile));
  return {
    EnforcerType: enforcer,
    EncodedSecurityPolicy: policy,
    ...(reference && { EncodedUVMReference: reference }),
    ...(envelope && { EncodedUVMHashEnvelopeReference: envelope }),
  };
}

/**
 * Copies the files that an isolated VM writes to into its bundle and grants it access, before `create` makes it. The
 * copies are removed with the bundle, or here if the VM cannot be made.
 */
export async function withCopies(
  copies: readonly { readonly from: string; readonly to: string }[],
  grantVmAccess: (file: string) => Promise<void>,
  create: () => Promise<void>,
): Promise<void> {
  try {
    for (const { from, to } of copies) {
      await copyFile(from, to);
      await grantVmAccess(to);
    }
    await create();
  } catch (error) {
    for (const { to } of copies) await rm(to, { force: true });
    throw error;
  }
}

async function encodedFile(path: string): Promise<string | undefined> {
  if (path === "") return undefined;
  try {
    return (await readNamedFile(path, largestReferenceFile, { clock: systemClock })).toString("base64");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
}
