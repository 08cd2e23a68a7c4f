import { checked, checkWholeTexts } from "@uvm-shim/container-common";
import { checkOciWindowsSpec, type OciWindowsSpec } from "@uvm-shim/hcs-schema";
import type { Refuse } from "@uvm-shim/lifecycle";

const validHostname = /^[A-Za-z0-9_.-]{0,64}$/;

/** Checks what does not depend on the pod or the host. */
export function checkedSpecification(given: unknown, refuse: Refuse): OciWindowsSpec {
  const spec = checked(() => checkOciWindowsSpec(given), "config.json", refuse);
  // Registry values in annotations may hold lists of texts with NUL between them.
  checkWholeTexts({ ...spec, annotations: undefined }, "config.json", refuse);
  if (spec.linux !== undefined) {
    throw refuse("InvalidArgument", "config.json: linux is given, expected none: this pod runs Windows containers");
  }
  const { hostname = "" } = spec;
  if (!validHostname.test(hostname)) {
    const accepted = "letters, digits, hyphens, underscores and dots, at most 64";
    const shown = JSON.stringify(hostname.slice(0, 65));
    throw refuse("InvalidArgument", `config.json: hostname is ${shown}, expected ${accepted}`);
  }
  if (spec.root?.readonly === true) {
    const why = "the root of a Windows container is writable";
    throw refuse("InvalidArgument", `config.json: root.readonly is true, expected false: ${why}`);
  }
  return spec;
}
