/** The guest's policy and origin, as containers that attest themselves look for them. */
import { mkdirSync, writeFileSync } from "node:fs";
import type { OciSpec, SecurityPolicy } from "@uvm-shim/hcs-schema";

/** A folder of the bundle that belongs to this module. */
export const securityContextName = "security-context";

const wantedKey = "io.microsoft.virtualmachine.lcow.securitypolicy.env";

/**
 * The specification with the folder of policy and reference documents, under the names and the environment variable by
 * which microsoft/hcsshim's guest gives them (pkg/securitypolicy). Without any there is none.
 */
export function withSecurityContext(
  spec: OciSpec,
  id: string,
  bundle: string,
  policy: SecurityPolicy | undefined,
): OciSpec {
  if (policy === undefined || spec.annotations?.[wantedKey] === "false") return spec;
  const contents = Object.entries({
    "security-policy-base64": policy.EncodedSecurityPolicy,
    "reference-info-base64": policy.EncodedUVMReference,
    "transparent-reference-info-base64": policy.EncodedUVMHashEnvelopeReference,
  }).filter(([, content = ""]) => content !== "");
  if (contents.length === 0) return spec;
  const source = `${bundle}/${securityContextName}`;
  const destination = `/${securityContextName}-${id}`;
  mkdirSync(source, { recursive: true, mode: 0o755 });
  for (const [name, content = ""] of contents) {
    writeFileSync(`${source}/${name}`, content, { mode: 0o644 });
  }
  const { process = { cwd: "/" }, mounts = [] } = spec;
  return {
    ...spec,
    process: { ...process, env: [...(process.env ?? []), `UVM_SECURITY_CONTEXT_DIR=${destination}`] },
    mounts: [...mounts, { destination, type: "bind", source, options: ["bind", "ro"] }],
  };
}
