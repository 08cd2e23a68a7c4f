export { capabilities } from "./support.ts";
