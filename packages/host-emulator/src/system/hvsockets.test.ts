import { type HresultName, hresults, type ModifyRequestType, resourcePaths } from "@uvm-shim/hcs-schema";
import { describe, expect, it } from "vitest";
import { hvsocketServiceOf, SystemHvsockets } from "./hvsockets.ts";
import { readResourcePath } from "./resource-path.ts";

const service = "ACEF5661-84A1-4E44-856B-6245E69F4620";
const descriptor = "D:P(A;;FA;;;SY)(A;;FA;;;BA)";

function modify(hvsockets: SystemHvsockets, RequestType: ModifyRequestType, Settings?: unknown): void {
  const ResourcePath = resourcePaths.hvSocketService(service);
  const resource = readResourcePath(ResourcePath);
  if (resource.kind !== "hvsocket service") throw new Error(`${ResourcePath} is no service`);
  hvsockets.modify(resource, { ResourcePath, RequestType, ...(Settings !== undefined && { Settings }) });
}

const failing = (result: HresultName): unknown => expect.objectContaining({ hresult: hresults[result] });

describe("the table of hvsocket services", () => {
  it("takes a service, known or not, and gives it up once", () => {
    const hvsockets = new SystemHvsockets({ HvSocketConfig: {} });
    modify(hvsockets, "Update", { AllowWildcardBinds: true, BindSecurityDescriptor: descriptor });
    modify(hvsockets, "Update", { Disabled: true });
    modify(hvsockets, "Remove");
    expect(() => modify(hvsockets, "Remove")).toThrow(failing("ERROR_NOT_FOUND") as Error);
  });

  it("has the services of the document, whatever the case of their GUIDs", () => {
    const hvsockets = new SystemHvsockets({ HvSocketConfig: { ServiceTable: { [service]: {} } } });
    expect(() => modify(hvsockets, "Remove")).not.toThrow();
  });

  it("loses a service to an update that allows nothing", () => {
    const hvsockets = new SystemHvsockets({});
    modify(hvsockets, "Update", { BindSecurityDescriptor: descriptor });
    modify(hvsockets, "Update", { BindSecurityDescriptor: "", ConnectSecurityDescriptor: "" });
    expect(() => modify(hvsockets, "Remove")).toThrow(failing("ERROR_NOT_FOUND") as Error);
  });

  it.each<[string, ModifyRequestType, unknown, HresultName]>([
    ["an addition", "Add", {}, "E_INVALIDARG"],
    ["a removal with settings", "Remove", {}, "E_INVALIDARG"],
    ["the removal of an unknown service", "Remove", undefined, "ERROR_NOT_FOUND"],
  ])("refuses %s", (_what, type, settings, result) => {
    expect(() => modify(new SystemHvsockets({}), type, settings)).toThrow(failing(result) as Error);
  });

  it("refuses unknown settings with the name of the field", () => {
    expect(() => modify(new SystemHvsockets({}), "Update", { Colour: 1 })).toThrow("Settings.Colour: unknown field");
  });

  it("names services by GUIDs", () => {
    expect(() => hvsocketServiceOf("GCS")).toThrow(failing("E_INVALIDARG") as Error);
  });
});
