import type { FunctionTable } from "./native-types.ts";

/** computenetwork.dll: the Host Compute Network service (computenetwork.h). */
export const computeNetworkFunctions = {
  HcnEnumerateNetworks: { result: "int32", parameters: ["text", "pointer", "pointer"], since: 17763 },
  HcnCreateNetwork: { result: "int32", parameters: ["pointer", "text", "pointer", "pointer"], since: 17763 },
  HcnOpenNetwork: { result: "int32", parameters: ["pointer", "pointer", "pointer"], since: 17763 },
  HcnModifyNetwork: { result: "int32", parameters: ["pointer", "text", "pointer"], since: 17763 },
  HcnQueryNetworkProperties: { result: "int32", parameters: ["pointer", "text", "pointer", "pointer"], since: 17763 },
  HcnDeleteNetwork: { result: "int32", parameters: ["pointer", "pointer"], since: 17763 },
  HcnCloseNetwork: { result: "int32", parameters: ["pointer"], since: 17763 },
  HcnEnumerateNamespaces: { result: "int32", parameters: ["text", "pointer", "pointer"], since: 17763 },
  HcnCreateNamespace: { result: "int32", parameters: ["pointer", "text", "pointer", "pointer"], since: 17763 },
  HcnOpenNamespace: { result: "int32", parameters: ["pointer", "pointer", "pointer"], since: 17763 },
  HcnModifyNamespace: { result: "int32", parameters: ["pointer", "text", "pointer"], since: 17763 },
  HcnQueryNamespaceProperties: { result: "int32", parameters: ["pointer", "text", "pointer", "pointer"], since: 17763 },
  HcnDeleteNamespace: { result: "int32", parameters: ["pointer", "pointer"], since: 17763 },
  HcnCloseNamespace: { result: "int32", parameters: ["pointer"], since: 17763 },
  HcnEnumerateEndpoints: { result: "int32", parameters: ["text", "pointer", "pointer"], since: 17763 },
  HcnCreateEndpoint: {
    result: "int32",
    parameters: ["pointer", "pointer", "text", "pointer", "pointer"],
    since: 17763,
  },
  HcnOpenEndpoint: { result: "int32", parameters: ["pointer", "pointer", "pointer"], since: 17763 },
  HcnModifyEndpoint: { result: "int32", parameters: ["pointer", "text", "pointer"], since: 17763 },
  HcnQueryEndpointProperties: { result: "int32", parameters: ["pointer", "text", "pointer", "pointer"], since: 17763 },
  HcnDeleteEndpoint: { result: "int32", parameters: ["pointer", "pointer"], since: 17763 },
  HcnCloseEndpoint: { result: "int32", parameters: ["pointer"], since: 17763 },
  HcnRegisterServiceCallback: { result: "int32", parameters: ["pointer", "pointer", "pointer"], since: 17763 },
  HcnUnregisterServiceCallback: { result: "int32", parameters: ["pointer"], since: 17763 },
} as const satisfies FunctionTable;
