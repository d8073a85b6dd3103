// Registry-storage-folder is a storage driver for Shoal, as a program of its own: objects in a folder.
//
// It needs Go 1.19 or later to build, on Linux or another Unix, and nothing beside the standard library. It is whole, and
// meant to be read beside docs/writing-a-driver.md; the protocol is docs/driver-protocol.md. Build it under the name
// registry-storage-folder, put it on the PATH, and configure the registry with the driver ipc:folder and the parameter
// rootdirectory.
//
//	<rootdirectory>/objects/a/b             the object /a/b
//	<rootdirectory>/unfinished/a/b/~bytes   what a writer of /a/b was closed with, without a commit
//	<rootdirectory>/tmp/<id>                files in the making; a crash may leave some, which nobody sees
//
// The Python program beside this one keeps the same folders under the same lock; both may use one folder at a time.
package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// A writer that is not called for so long is closed: its client has gone, and its bytes wait for the next one.
const writerIdle = 10 * time.Minute

// What the driver says of itself: as its first line on standard output, and at GET /v1/info.
var info = map[string]any{
	"protocol":          1,
	"version":           "1.0",
	"name":              "folder",
	"capabilities":      map[string]bool{"write": true, "anyPath": true, "conditionalPut": true},
	"writerIdleSeconds": int(writerIdle.Seconds()),
}

func main() {
	log.SetFlags(0) // The registry puts the time beside each line of standard error.
	if err := run(); err != nil {
		log.Fatal(err)
	}
}

func run() error {
	// Signals stay caught to the end, also when standard input has ended already: the registry does both, one right after
	// the other, and the second must not kill what the first has begun.
	ctx, release := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer release()
	ctx, stop := context.WithCancel(ctx)
	defer stop()

	stdin := bufio.NewReader(os.Stdin)
	root, err := readParameters(stdin)
	if err != nil {
		return err
	}
	go func() {
		// Standard input ends when the registry has gone, however it went.
		io.Copy(io.Discard, stdin)
		stop()
	}()

	folder, err := openFolder(root)
	if err != nil {
		return fmt.Errorf("cannot use the folder %s: %w", root, err)
	}
	socket := os.Getenv("REGISTRY_STORAGE_SOCKET")
	listener, err := net.Listen("unix", socket)
	if err != nil {
		return fmt.Errorf("cannot listen at REGISTRY_STORAGE_SOCKET: %w", err)
	}
	// The directory was made for the socket, and whoever made it may be gone. It stays where something else is in it.
	defer os.Remove(filepath.Dir(socket))
	driver := &driver{
		folder:  folder,
		token:   sha256.Sum256([]byte("Bearer " + os.Getenv("REGISTRY_STORAGE_TOKEN"))),
		writers: make(map[string]*writer),
	}
	// No time limits: a reader may be as slow as it likes, and the registry ends the calls that it does not want any more.
	server := &http.Server{Handler: driver}
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(listener) }()
	go driver.closeIdleWriters(ctx)

	// Not before the socket takes calls: the registry calls as soon as it has read the line.
	if err := json.NewEncoder(os.Stdout).Encode(info); err != nil {
		return err
	}
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
	}
	// Nobody waits for an answer any more. What was under way ends at its next step, and has changed all or nothing.
	server.Close()
	for id, w := range driver.currentWriters() {
		w.mu.Lock() // The call that it is in ends first.
		driver.closeQuietly(id, w)
		w.mu.Unlock()
	}
	return nil
}

// readParameters takes the one line of JSON that comes first, and refuses what it does not know: a typing error in a
// configuration is told at the start, and not by what is missing later.
func readParameters(stdin *bufio.Reader) (root string, err error) {
	line, err := stdin.ReadBytes('\n')
	if err != nil {
		return "", fmt.Errorf("expected a line of JSON on standard input: %w", err)
	}
	var parameters struct {
		RootDirectory string `json:"rootdirectory"`
	}
	decoder := json.NewDecoder(bytes.NewReader(line))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&parameters); err != nil {
		return "", fmt.Errorf("expected the parameter rootdirectory and no other: %w", err)
	}
	if parameters.RootDirectory == "" {
		return "", errors.New("expected the parameter rootdirectory, got none")
	}
	return filepath.Abs(parameters.RootDirectory)
}

// Errors.

// A driverError is what the registry gets as {code, message, path, retryable}.
type driverError struct {
	Code      string `json:"code"`
	Message   string `json:"message"`
	Path      string `json:"path"`
	Retryable bool   `json:"retryable"`
}

func (e *driverError) Error() string { return fmt.Sprintf("%s: %s: %s", e.Code, e.Path, e.Message) }

func fail(code, path, message string) *driverError {
	return &driverError{Code: code, Message: message, Path: path, Retryable: code == "STORAGE_UNAVAILABLE"}
}

// errGone means that the client has broken off the call: there is nobody to answer.
var errGone = errors.New("the client has broken off the call")

// HTTP is only what the errors travel by; what counts is the code.
var statusOf = map[string]int{
	"BAD_REQUEST": 400, "INVALID_PATH": 400, "UNAUTHORIZED": 401, "PERMISSION": 403, "PATH_NOT_FOUND": 404,
	"NOT_A_FILE": 409, "NOT_A_DIRECTORY": 409, "CONFLICT": 409, "WRITER_CLOSED": 410, "PRECONDITION_FAILED": 412,
	"STORAGE_INTERNAL": 500, "STORAGE_UNAVAILABLE": 503, "STORAGE_FULL": 507,
}

var codeOf = map[syscall.Errno]string{
	syscall.ENOENT: "PATH_NOT_FOUND", syscall.ENOTDIR: "PATH_NOT_FOUND", syscall.EISDIR: "NOT_A_FILE",
	syscall.ENOSPC: "STORAGE_FULL", syscall.EDQUOT: "STORAGE_FULL", syscall.EACCES: "PERMISSION",
	syscall.EPERM: "PERMISSION", syscall.EROFS: "PERMISSION", syscall.EMFILE: "STORAGE_UNAVAILABLE",
	syscall.ENFILE: "STORAGE_UNAVAILABLE", syscall.EBUSY: "STORAGE_UNAVAILABLE",
}

// inWords tells an error of the system in the words of the protocol; those that are so already stay as they are.
func inWords(err error, path string) *driverError {
	var known *driverError
	if errors.As(err, &known) {
		return known
	}
	code, message := "STORAGE_INTERNAL", err.Error()
	var number syscall.Errno
	if errors.As(err, &number) {
		message = number.Error() // Without the place in the folder, which is nobody's business but ours.
		if known := codeOf[number]; known != "" {
			code = known
		}
	}
	return fail(code, path, message)
}

func isMissing(err error) bool {
	return errors.Is(err, syscall.ENOENT) || errors.Is(err, syscall.ENOTDIR)
}

// The storage.

// A folder is the storage itself. What changes names is done under one lock; what moves bytes is not.
type folder struct {
	root, objects, unfinished, tmp string

	names    sync.Mutex
	lockFile *os.File
}

func openFolder(root string) (*folder, error) {
	f := &folder{
		root:       root,
		objects:    filepath.Join(root, "objects"),
		unfinished: filepath.Join(root, "unfinished"),
		tmp:        filepath.Join(root, "tmp"),
	}
	for _, directory := range []string{f.objects, f.unfinished, f.tmp} {
		if err := os.MkdirAll(directory, 0o777); err != nil {
			return nil, err
		}
	}
	var err error
	if f.lockFile, err = os.OpenFile(filepath.Join(root, "lock"), os.O_RDWR|os.O_CREATE, 0o666); err != nil {
		return nil, err
	}
	return f, syncDirectory(root)
}

// withLock keeps out the other calls (the mutex), and other programs that use the folder (the lock on the file, which ends
// with its process, however that ends). It looks once more whether the call is still wanted: what comes behind is short, and
// either happens or does not.
func (f *folder) withLock(ctx context.Context, work func() error) error {
	f.names.Lock()
	defer f.names.Unlock()
	if err := flock(f.lockFile, syscall.LOCK_EX); err != nil {
		return err
	}
	defer flock(f.lockFile, syscall.LOCK_UN)
	if ctx.Err() != nil {
		return errGone
	}
	return work()
}

func flock(file *os.File, how int) error {
	for {
		// The signals by which Go's scheduler interrupts its threads interrupt this call, too.
		if err := syscall.Flock(int(file.Fd()), how); err != syscall.EINTR {
			return err
		}
	}
}

// place is where a path of the storage is below one of the folder's directories. Paths are checked before they come here
// (validPath): none has a component of dots alone, so that none leaves the root, and none has a tilde.
func place(directory, path string) string {
	return filepath.Join(directory, filepath.FromSlash(path))
}

// keptPlace has a tilde so that the bytes of /a and those of /a/b never meet.
func (f *folder) keptPlace(path string) string {
	return filepath.Join(place(f.unfinished, path), "~bytes")
}

func (f *folder) newPlace() string { return filepath.Join(f.tmp, newID()) }

func newID() string {
	id := make([]byte, 16)
	if _, err := rand.Read(id); err != nil {
		panic(err) // The system has no randomness: nothing goes on from here.
	}
	return hex.EncodeToString(id)
}

func (f *folder) open(path string) (*os.File, os.FileInfo, error) {
	file, err := os.Open(place(f.objects, path))
	if err != nil {
		return nil, nil, inWords(err, path)
	}
	found, err := file.Stat()
	if err == nil && found.IsDir() {
		err = fail("NOT_A_FILE", path, "a directory, not a file")
	}
	if err != nil {
		file.Close()
		return nil, nil, inWords(err, path)
	}
	return file, found, nil
}

// A fileInfo is what stat and walk tell.
type fileInfo struct {
	Path        string `json:"path"`
	Size        int64  `json:"size"`
	ModTimeMs   int64  `json:"modTimeMs"`
	IsDirectory bool   `json:"isDirectory"`
	Revision    string `json:"revision,omitempty"`
}

func (f *folder) stat(path string) (fileInfo, error) {
	found, err := os.Stat(place(f.objects, path))
	if err != nil {
		return fileInfo{}, inWords(err, path)
	}
	modTimeMs := found.ModTime().UnixMilli()
	if found.IsDir() {
		return fileInfo{Path: path, ModTimeMs: modTimeMs, IsDirectory: true}, nil
	}
	return fileInfo{Path: path, Size: found.Size(), ModTimeMs: modTimeMs, Revision: revision(found)}, nil
}

// revision changes with every write, because a file is never written to once it is an object, and the next one at the same
// place has a later time.
func revision(found os.FileInfo) string {
	inode := found.Sys().(*syscall.Stat_t).Ino
	return fmt.Sprintf("%d-%d-%d", inode, found.Size(), found.ModTime().UnixNano())
}

// children has the full paths in the order of their bytes, which is that of os.ReadDir.
func (f *folder) children(path string) ([]string, error) {
	directory := place(f.objects, path)
	if found, err := os.Stat(directory); err != nil {
		return nil, inWords(err, path)
	} else if !found.IsDir() {
		return nil, fail("NOT_A_DIRECTORY", path, "a file, not a directory")
	}
	entries, err := os.ReadDir(directory)
	if err != nil {
		return nil, inWords(err, path)
	}
	children := make([]string, len(entries))
	for i, entry := range entries {
		children[i] = strings.TrimSuffix(path, "/") + "/" + entry.Name()
	}
	return children, nil
}

// isBehind compares by components: everything below /a comes before /a-b, as if the slash were the first of all characters.
func isBehind(path, other string) bool {
	return strings.ReplaceAll(path, "/", "\x00") > strings.ReplaceAll(other, "/", "\x00")
}

// walk hands everything below a path to visit, depth first. It holds the names of one directory per level, not the tree.
func (f *folder) walk(ctx context.Context, path, startAfter string, visit func(fileInfo) error) error {
	children, err := f.children(path)
	if err != nil {
		return err
	}
	for _, child := range children {
		if ctx.Err() != nil {
			return errGone
		}
		behind := isBehind(child, startAfter)
		if !behind && !strings.HasPrefix(startAfter+"/", child+"/") {
			continue
		}
		found, err := f.stat(child)
		if hasVanished(err) {
			continue
		} else if err != nil {
			return err
		}
		if behind {
			if err := visit(found); err != nil {
				return err
			}
		}
		if found.IsDirectory {
			if err := f.walk(ctx, child, startAfter, visit); err != nil && !hasVanished(err) {
				return err
			}
		}
	}
	return nil
}

// hasVanished says whether something has gone, or has become something else, since it was listed.
func hasVanished(err error) bool {
	var known *driverError
	return errors.As(err, &known) && (known.Code == "PATH_NOT_FOUND" || known.Code == "NOT_A_DIRECTORY")
}

// requireFree is content when nothing is at a path, or an object, or directories with nothing in them, which it removes.
func (f *folder) requireFree(path string) error {
	at := place(f.objects, path)
	parent := filepath.Dir(at)
	found, err := os.Stat(parent)
	for isMissing(err) {
		parent = filepath.Dir(parent)
		found, err = os.Stat(parent)
	}
	if err != nil {
		return inWords(err, path)
	}
	if !found.IsDir() {
		return fail("NOT_A_DIRECTORY", path, "a file, not a directory")
	}
	if found, err := os.Stat(at); err != nil || !found.IsDir() {
		return nil
	}
	err = filepath.WalkDir(at, func(_ string, entry fs.DirEntry, err error) error {
		if err == nil && !entry.IsDir() {
			return fail("NOT_A_FILE", path, "a directory, not a file")
		}
		return err
	})
	if err != nil {
		return err
	}
	return os.RemoveAll(at)
}

// A condition has to hold for a put; the empty one always does.
type condition struct {
	ifAbsent bool
	ifMatch  *string
}

func (c condition) holds(old os.FileInfo) bool {
	if c.ifAbsent && old != nil {
		return false
	}
	return c.ifMatch == nil || (old != nil && revision(old) == *c.ifMatch)
}

// show makes a finished and synced file visible, in one step for everybody who looks. Call it under the lock: it is what
// keeps two puts from finding the same object.
func (f *folder) show(file, path string, c condition) error {
	if err := f.requireFree(path); err != nil {
		return err
	}
	at := place(f.objects, path)
	old, err := os.Stat(at)
	if err != nil && !isMissing(err) {
		return err
	}
	if err != nil {
		old = nil
	}
	if !c.holds(old) {
		return fail("PRECONDITION_FAILED", path, "something else is there")
	}
	if old != nil {
		if err := makeLater(file, old.ModTime()); err != nil {
			return err
		}
	}
	if err := os.MkdirAll(filepath.Dir(at), 0o777); err != nil {
		return err
	}
	if err := os.Rename(file, at); err != nil {
		return err
	}
	return f.syncUpwards(filepath.Dir(at))
}

// makeLater gives a file a time behind that of the object it replaces, in the milliseconds that the registry sees: a clock
// may be set back, and two writes may come in one millisecond.
func makeLater(file string, than time.Time) error {
	found, err := os.Stat(file)
	if err != nil || found.ModTime().UnixMilli() > than.UnixMilli() {
		return err
	}
	later := time.UnixMilli(than.UnixMilli() + 1)
	return os.Chtimes(file, later, later)
}

// syncUpwards makes a name last: it does when its directory is synced, and those above it, which may be new.
func (f *folder) syncUpwards(directory string) error {
	for ; directory != f.root; directory = filepath.Dir(directory) {
		if err := syncDirectory(directory); err != nil {
			return err
		}
	}
	return nil
}

func syncDirectory(directory string) error {
	handle, err := os.Open(directory)
	if err != nil {
		return err
	}
	defer handle.Close()
	return handle.Sync()
}

func (f *folder) put(ctx context.Context, path string, content io.Reader, c condition) error {
	file, err := os.OpenFile(f.newPlace(), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
	if err != nil {
		return err
	}
	defer os.Remove(file.Name()) // When it has become the object, its name here is gone already.
	_, err = copyBytes(file, content)
	if err == nil {
		err = file.Sync()
	}
	if closed := file.Close(); err == nil {
		err = closed
	}
	if err != nil {
		return err
	}
	return f.withLock(ctx, func() error { return f.show(file.Name(), path, c) })
}

func (f *folder) move(ctx context.Context, source, destination string) error {
	return f.withLock(ctx, func() error {
		file, _, err := f.open(source)
		if err != nil {
			return err
		}
		file.Close()
		if source == destination {
			return nil
		}
		from := place(f.objects, source)
		if err := f.show(from, destination, condition{}); err != nil {
			return inWords(err, destination)
		}
		if err := syncDirectory(filepath.Dir(from)); err != nil {
			return err
		}
		prune(filepath.Dir(from), f.objects)
		return nil
	})
}

// delete takes an object or directory out of sight as a whole, and then removes it file by file, without the lock.
func (f *folder) delete(ctx context.Context, path string) error {
	var gone []string
	err := f.withLock(ctx, func() error {
		// What is unfinished goes first: after a crash in between, the object is there still, and can be deleted again.
		for _, directory := range []string{f.unfinished, f.objects} {
			at, hidden := place(directory, path), f.newPlace()
			if err := os.Rename(at, hidden); isMissing(err) {
				continue
			} else if err != nil {
				return err
			}
			gone = append(gone, hidden)
			if err := syncDirectory(filepath.Dir(at)); err != nil {
				return err
			}
			prune(filepath.Dir(at), directory)
		}
		return nil
	})
	for _, hidden := range gone {
		if removed := os.RemoveAll(hidden); err == nil {
			err = removed
		}
	}
	if err == nil && len(gone) == 0 {
		return fail("PATH_NOT_FOUND", path, "path not found")
	}
	return err
}

// prune removes directories that are left empty, up to one that is in use.
func prune(directory, end string) {
	for directory != end && os.Remove(directory) == nil {
		directory = filepath.Dir(directory)
	}
}

// Memory for bytes on their way, used again: as much as calls copy at the same moment, however large the objects are.
var buffers = sync.Pool{New: func() any { return new([256 * 1024]byte) }}

// copyBytes is io.Copy in pieces of one size: the structs hide methods by which files and answers copy in smaller ones.
func copyBytes(to io.Writer, from io.Reader) (int64, error) {
	buffer := buffers.Get().(*[256 * 1024]byte)
	defer buffers.Put(buffer)
	return io.CopyBuffer(struct{ io.Writer }{to}, struct{ io.Reader }{from}, buffer[:])
}

// Writers.

// A writer is one object in the making. A new one grows in tmp; one that goes on grows where the bytes were left.
type writer struct {
	folder *folder
	path   string
	kept   string

	mu   sync.Mutex // One call at a time; guards what is below.
	file *os.File
	size int64
	used time.Time
}

func openWriter(ctx context.Context, f *folder, path string, append bool) (*writer, error) {
	w := &writer{folder: f, path: path, kept: f.keptPlace(path), used: time.Now()}
	err := f.withLock(ctx, func() error {
		if err := f.requireFree(path); err != nil {
			return err
		}
		if append {
			return w.openKept()
		}
		if err := os.Remove(w.kept); err != nil && !isMissing(err) {
			return err
		}
		return w.openFile(f.newPlace(), os.O_CREATE|os.O_EXCL)
	})
	if err != nil {
		return nil, err
	}
	return w, nil
}

// openKept goes on with the bytes that an earlier writer left, or with an object that is empty, which is to begin anew.
func (w *writer) openKept() error {
	err := w.openFile(w.kept, 0)
	if !isMissing(err) {
		return err
	}
	found, err := w.folder.stat(w.path)
	if err != nil {
		return err
	}
	if found.Size > 0 {
		return fail("CONFLICT", w.path, "committed and not empty, cannot be appended to")
	}
	return w.openFile(w.folder.newPlace(), os.O_CREATE|os.O_EXCL)
}

func (w *writer) openFile(name string, flags int) error {
	file, err := os.OpenFile(name, os.O_RDWR|flags, 0o666)
	if err != nil {
		return err
	}
	// One writer at a time goes on with the same bytes, in whatever program; the lock goes with the file's handle.
	err = flock(file, syscall.LOCK_EX|syscall.LOCK_NB)
	if err == syscall.EWOULDBLOCK {
		err = fail("CONFLICT", w.path, "another writer appends to it now")
	}
	if err == nil {
		w.size, err = file.Seek(0, io.SeekEnd)
	}
	if err != nil {
		file.Close()
		return err
	}
	w.file = file
	return nil
}

// write appends the body. What came of one that breaks off may stay: size says how much there is.
func (w *writer) write(offset int64, body io.Reader) error {
	if offset != w.size {
		return fail("CONFLICT", w.path, fmt.Sprintf("the writer is at byte %d, expected %d", w.size, offset))
	}
	written, err := copyBytes(w.file, body)
	w.size += written
	return err
}

// requireOwn fails when somebody has deleted the bytes since, or has begun anew: they are not this writer's to publish.
func (w *writer) requireOwn() error {
	here, err := os.Stat(w.file.Name())
	if err == nil {
		var own os.FileInfo
		if own, err = w.file.Stat(); err == nil && os.SameFile(here, own) {
			return nil
		}
	}
	if err != nil && !isMissing(err) {
		return err
	}
	return fail("CONFLICT", w.path, "another writer has taken or removed the unfinished bytes")
}

func (w *writer) commit(ctx context.Context) error {
	// The bytes before the name: a name that lasts must not have bytes that do not.
	if err := w.file.Sync(); err != nil {
		return err
	}
	err := w.folder.withLock(ctx, func() error {
		if err := w.requireOwn(); err != nil {
			return err
		}
		if err := w.folder.show(w.file.Name(), w.path, condition{}); err != nil {
			return err
		}
		if w.file.Name() == w.kept {
			prune(filepath.Dir(w.kept), w.folder.unfinished)
		}
		return nil
	})
	if err != nil {
		return err // The writer stays: it can still be closed, which keeps the bytes.
	}
	w.file.Close() // All of it is synced: nothing can go wrong with it any more.
	return nil
}

// close makes the bytes last, where the next writer finds them.
func (w *writer) close(ctx context.Context) error {
	defer w.file.Close()
	if err := w.file.Sync(); err != nil {
		return err
	}
	return w.folder.withLock(ctx, func() error {
		if err := w.requireOwn(); err != nil {
			return err
		}
		if w.file.Name() == w.kept {
			return nil
		}
		parent := filepath.Dir(w.kept)
		if err := os.MkdirAll(parent, 0o777); err != nil {
			return err
		}
		if err := os.Rename(w.file.Name(), w.kept); err != nil {
			return err
		}
		return w.folder.syncUpwards(parent)
	})
}

// cancel throws away the bytes of this writer, and those of earlier ones.
func (w *writer) cancel(ctx context.Context) error {
	defer w.file.Close()
	return w.folder.withLock(ctx, func() error {
		for _, name := range []string{w.file.Name(), w.kept} {
			if err := os.Remove(name); err != nil && !isMissing(err) {
				return err
			}
		}
		prune(filepath.Dir(w.kept), w.folder.unfinished)
		w.size = 0
		return nil
	})
}

// The calls.

// A driver answers the registry.
type driver struct {
	folder *folder
	token  [sha256.Size]byte

	mu      sync.Mutex // Guards the map alone.
	writers map[string]*writer
}

// A call is one request, and how far its answer is.
type call struct {
	*driver
	request  *http.Request
	response http.ResponseWriter
	query    url.Values
	writerID string
	begun    bool
}

var calls = map[string]func(*call) error{
	"GET info":                 (*call).info,
	"GET health":               (*call).health,
	"GET content":              (*call).content,
	"PUT content":              (*call).putContent,
	"GET stream":               (*call).stream,
	"GET stat":                 (*call).stat,
	"GET list":                 (*call).list,
	"GET walk":                 (*call).walk,
	"POST move":                (*call).move,
	"DELETE object":            (*call).deleteObject,
	"POST redirect-url":        (*call).redirectURL,
	"POST writers":             (*call).openWriter,
	"GET writers/{id}":         (*call).lookAtWriter,
	"PATCH writers/{id}":       (*call).write,
	"POST writers/{id}/commit": (*call).commit,
	"POST writers/{id}/close":  (*call).closeWriter,
	"DELETE writers/{id}":      (*call).cancel,
}

// ServeHTTP is the one way in. Every fault becomes an answer here, or breaks the connection off when it comes too late for
// one: a body that ends well would pass for whole.
func (d *driver) ServeHTTP(response http.ResponseWriter, request *http.Request) {
	c := &call{driver: d, request: request, response: response}
	err := c.answer()
	if err == nil {
		return
	}
	if c.begun || errors.Is(err, errGone) {
		panic(http.ErrAbortHandler) // How net/http is told to cut the connection; it is not logged.
	}
	path := c.query.Get("path")
	if path == "" {
		path = "/"
	}
	known := inWords(err, path)
	if known.Code == "STORAGE_INTERNAL" {
		log.Print(err) // The registry gets it, too; whoever looks after the storage looks here.
	}
	c.sendJSON(statusOf[known.Code], known)
}

func (c *call) answer() error {
	given := sha256.Sum256([]byte(c.request.Header.Get("Authorization")))
	if subtle.ConstantTimeCompare(given[:], c.token[:]) != 1 {
		return fail("UNAUTHORIZED", "/", "the token is missing or wrong")
	}
	var err error
	if c.query, err = url.ParseQuery(c.request.URL.RawQuery); err != nil {
		return fail("BAD_REQUEST", "/", err.Error())
	}
	name := strings.TrimPrefix(c.request.URL.Path, "/v1/")
	if words := strings.Split(name, "/"); words[0] == "writers" && len(words) > 1 {
		c.writerID, words[1] = words[1], "{id}"
		name = strings.Join(words, "/")
	}
	serve := calls[c.request.Method+" "+name]
	if serve == nil {
		message := fmt.Sprintf("%s %s is no call of this protocol", c.request.Method, c.request.URL.Path)
		return fail("BAD_REQUEST", "/", message)
	}
	return serve(c)
}

// ctx ends when the client breaks off the request.
func (c *call) ctx() context.Context { return c.request.Context() }

// path is a parameter that is a path, "/" only where that is said.
func (c *call) path(name string, orRoot bool) (string, error) {
	path := c.query.Get(name)
	if (path == "/" && orRoot) || validPath(path) {
		return path, nil
	}
	return "", fail("INVALID_PATH", path, "invalid path")
}

// validPath is what keeps every path below the root.
func validPath(path string) bool {
	if len(path) > 1024 || !strings.HasPrefix(path, "/") {
		return false
	}
	for _, name := range strings.Split(path[1:], "/") {
		if name == "" || name == "." || name == ".." || len(name) > 255 || strings.Trim(name, nameCharacters) != "" {
			return false
		}
	}
	return true
}

const nameCharacters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-"

// number is a parameter that counts bytes or lines.
func (c *call) number(name string, otherwise int64) (int64, error) {
	text := c.query.Get(name)
	if text == "" {
		return otherwise, nil
	}
	number, err := strconv.ParseInt(text, 10, 64)
	if err != nil || number < 0 {
		return 0, fail("BAD_REQUEST", "/", fmt.Sprintf("expected a number as %s, got %q", name, text))
	}
	return number, nil
}

// A requestBody tells a body that ends early from a file that cannot be written. net/http compares it with Content-Length.
type requestBody struct{ io.Reader }

func (b requestBody) Read(bytes []byte) (int, error) {
	n, err := b.Reader.Read(bytes)
	if err != nil && err != io.EOF {
		err = fmt.Errorf("%w: %v", errGone, err)
	}
	return n, err
}

// body is refused without a length: its end would prove nothing.
func (c *call) body() (io.Reader, error) {
	if c.request.ContentLength < 0 {
		return nil, fail("BAD_REQUEST", "/", "expected a Content-Length")
	}
	return requestBody{c.request.Body}, nil
}

func (c *call) begin(status int, contentType string) {
	c.begun = true
	if contentType != "" {
		c.response.Header().Set("Content-Type", contentType)
	}
	c.response.WriteHeader(status)
}

func (c *call) sendJSON(status int, value any) error {
	body, err := json.Marshal(value)
	if err != nil {
		return err
	}
	c.response.Header().Set("Content-Length", strconv.Itoa(len(body)))
	c.begin(status, "application/json")
	_, err = c.response.Write(body)
	return err
}

func (c *call) sendNothing() error {
	c.begin(http.StatusNoContent, "")
	return nil
}

// sendLines answers with a line for each item that produce hands over, as fast as the client takes them. The last line says
// that this is all, or what went wrong on the way; an error before the first one is an ordinary answer.
func (c *call) sendLines(produce func(send func(item any) error) error) error {
	lines := json.NewEncoder(c.response)
	send := func(item any) error {
		if !c.begun {
			c.begin(http.StatusOK, "application/x-ndjson")
		}
		if lines.Encode(item) != nil {
			return errGone
		}
		return nil
	}
	err := produce(send)
	if err == nil {
		return send(map[string]bool{"complete": true})
	}
	if !c.begun || errors.Is(err, errGone) {
		return err
	}
	return send(map[string]error{"error": inWords(err, c.query.Get("path"))})
}

func (c *call) info() error { return c.sendJSON(http.StatusOK, info) }

func (c *call) health() error {
	if _, err := c.folder.stat("/"); err != nil {
		return err
	}
	return c.sendJSON(http.StatusOK, struct{}{})
}

func (c *call) content() error { return c.sendFile(0, -1) }

func (c *call) stream() error {
	offset, err := c.number("offset", 0)
	if err != nil {
		return err
	}
	length, err := c.number("length", -1)
	if err != nil {
		return err
	}
	return c.sendFile(offset, length)
}

// sendFile opens the file before the headers. Nobody ever writes to an object, it is only replaced: its size is known, and
// its bytes stay the same while they are read.
func (c *call) sendFile(offset, length int64) error {
	path, err := c.path("path", false)
	if err != nil {
		return err
	}
	file, found, err := c.folder.open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	size := found.Size() - offset
	if size < 0 {
		size = 0
	}
	if length >= 0 && length < size {
		size = length
	}
	c.response.Header().Set("Content-Length", strconv.FormatInt(size, 10))
	c.begin(http.StatusOK, "application/octet-stream")
	sent, err := copyBytes(c.response, io.NewSectionReader(file, offset, size))
	if err == nil && sent < size {
		err = io.ErrUnexpectedEOF // The file is shorter than it was.
	}
	return err
}

func (c *call) putContent() error {
	path, err := c.path("path", false)
	if err != nil {
		return err
	}
	body, err := c.body()
	if err != nil {
		return err
	}
	condition := condition{ifAbsent: c.query.Get("ifAbsent") == "true"}
	if c.query.Has("ifMatch") {
		wanted := c.query.Get("ifMatch")
		condition.ifMatch = &wanted
	}
	if err := c.folder.put(c.ctx(), path, body, condition); err != nil {
		return err
	}
	return c.sendNothing()
}

func (c *call) stat() error {
	path, err := c.path("path", true)
	if err != nil {
		return err
	}
	found, err := c.folder.stat(path)
	if err != nil {
		return err
	}
	return c.sendJSON(http.StatusOK, found)
}

func (c *call) list() error {
	path, err := c.path("path", true)
	if err != nil {
		return err
	}
	limit, err := c.number("limit", -1)
	if err != nil {
		return err
	}
	after := c.query.Get("after")
	return c.sendLines(func(send func(any) error) error {
		children, err := c.folder.children(path)
		if err != nil {
			return err
		}
		for _, child := range children {
			if limit == 0 {
				break
			}
			if !isBehind(child, after) {
				continue
			}
			if err := send(map[string]string{"path": child}); err != nil {
				return err
			}
			limit--
		}
		return nil
	})
}

func (c *call) walk() error {
	path, err := c.path("path", true)
	if err != nil {
		return err
	}
	return c.sendLines(func(send func(any) error) error {
		return c.folder.walk(c.ctx(), path, c.query.Get("startAfter"), func(found fileInfo) error { return send(found) })
	})
}

func (c *call) move() error {
	source, err := c.path("source", false)
	if err != nil {
		return err
	}
	destination, err := c.path("destination", false)
	if err != nil {
		return err
	}
	if err := c.folder.move(c.ctx(), source, destination); err != nil {
		return inWords(err, source)
	}
	return c.sendNothing()
}

func (c *call) deleteObject() error {
	path, err := c.path("path", false)
	if err != nil {
		return err
	}
	if err := c.folder.delete(c.ctx(), path); err != nil {
		return err
	}
	return c.sendNothing()
}

func (c *call) redirectURL() error { return c.sendJSON(http.StatusOK, map[string]any{"url": nil}) }

// A writerState is where a writer stands after a call of it.
type writerState struct {
	ID   string `json:"id,omitempty"`
	Size int64  `json:"size"`
}

func (c *call) openWriter() error {
	path, err := c.path("path", false)
	if err != nil {
		return err
	}
	w, err := openWriter(c.ctx(), c.folder, path, c.query.Get("append") == "true")
	if err != nil {
		return err
	}
	id := newID()
	c.mu.Lock()
	c.writers[id] = w
	c.mu.Unlock()
	return c.sendJSON(http.StatusCreated, writerState{ID: id, Size: w.size})
}

// useWriter does one call of a writer, when the one before is through. After a last one the id is gone: with forgetsAlways
// also when it failed.
func (c *call) useWriter(isLast, forgetsAlways bool, work func(*writer) error) error {
	w := c.writer(c.writerID)
	if w == nil {
		return fail("WRITER_CLOSED", "/", "gone, or was never here")
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	// It may have ended while this call was waiting.
	if c.writer(c.writerID) != w {
		return fail("WRITER_CLOSED", w.path, "closed by a call before")
	}
	err := work(w)
	w.used = time.Now()
	if isLast && (err == nil || forgetsAlways) {
		c.forget(c.writerID)
	}
	if err != nil {
		if errors.Is(err, errGone) {
			return err
		}
		return inWords(err, w.path)
	}
	return c.sendJSON(http.StatusOK, writerState{Size: w.size})
}

func (c *call) lookAtWriter() error {
	return c.useWriter(false, false, func(*writer) error { return nil })
}

func (c *call) write() error {
	offset, err := strconv.ParseInt(c.request.Header.Get("X-Offset"), 10, 64)
	if err != nil {
		return fail("BAD_REQUEST", "/", "expected a header X-Offset with a number of bytes")
	}
	body, err := c.body()
	if err != nil {
		return err
	}
	return c.useWriter(false, false, func(w *writer) error { return w.write(offset, body) })
}

func (c *call) commit() error {
	return c.useWriter(true, false, func(w *writer) error { return w.commit(c.ctx()) })
}

// Whoever closes or cancels and does not wait for the answer wants it all the same: nobody could do it later.

func (c *call) closeWriter() error {
	return c.useWriter(true, true, func(w *writer) error { return w.close(context.Background()) })
}

func (c *call) cancel() error {
	return c.useWriter(true, true, func(w *writer) error { return w.cancel(context.Background()) })
}

func (d *driver) writer(id string) *writer {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.writers[id]
}

func (d *driver) forget(id string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.writers, id)
}

// closeIdleWriters closes those whose client has gone without a word, so that others can go on with their bytes.
func (d *driver) closeIdleWriters(ctx context.Context) {
	ticker := time.NewTicker(10 * time.Second)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			for id, w := range d.currentWriters() {
				// One that is in a call is not idle, and the others must not wait for it.
				if !w.mu.TryLock() {
					continue
				}
				if time.Since(w.used) > writerIdle {
					d.closeQuietly(id, w)
				}
				w.mu.Unlock()
			}
		}
	}
}

// currentWriters is a copy, so that other calls go on while something is done with each.
func (d *driver) currentWriters() map[string]*writer {
	d.mu.Lock()
	defer d.mu.Unlock()
	open := make(map[string]*writer, len(d.writers))
	for id, w := range d.writers {
		open[id] = w
	}
	return open
}

// closeQuietly closes a writer, whose lock the caller has, when no call has done so meanwhile.
func (d *driver) closeQuietly(id string, w *writer) {
	if d.writer(id) != w {
		return
	}
	d.forget(id)
	if err := w.close(context.Background()); err != nil {
		log.Printf("a writer could not be closed: %v", err)
	}
}
