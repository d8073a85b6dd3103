// Shoal speaks BitTorrent over TCP only: these names exist so that webtorrent's imports resolve, and nothing constructs them.
export class RTCPeerConnection {}
export class RTCSessionDescription {}
export class RTCIceCandidate {}
export class RTCDataChannel {}
export default { RTCPeerConnection, RTCSessionDescription, RTCIceCandidate, RTCDataChannel };
