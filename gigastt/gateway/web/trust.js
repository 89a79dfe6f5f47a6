/** The page that says how a device comes to trust this server: the same page for a phone, as a QR code. */

import { byId } from "./dom.js";
import { qrCode } from "./qr.js";

qrCode(location.href, byId("code").dataset.label).then((code) => byId("code").append(code));
