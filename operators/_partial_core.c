/* What `partial_fast.py` does, in C: regular JSON, as fast as it comes.

The state of a reader lies in the slots of the Python class, where the states of
`partial_machine.py` find it. `run` knows of each state only what regularly comes in it. All else
it leaves to Python, at the position and in the state in which Python would have come upon it: so
everything that is mended, refused or noted is written once, and not here. */

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <structmember.h>

#include "_partial_text.h"

/* The states that `run` reads; their order is that of the arguments of `derive`. */
typedef enum {
    STRING, IN_NAME, COLON, VALUE, ITEM, KEY, SCALAR,
    FIRST_NAME, FIRST_IN_LIST, AFTER_MEMBER, AFTER_ITEM, OTHER,
} State;

#define SLOTS(X) \
    X(after_comma) X(at) X(box) X(closers) X(dropped) X(gap) X(held) X(in_series) X(in_string) \
    X(max_depth) X(name) X(parts) X(patches) X(path) X(stack) X(step) X(token)
#define DECLARE(name) static Py_ssize_t offset_##name;
SLOTS(DECLARE)
#define SLOT(name) (*(PyObject **)((char *)self + offset_##name))

#define IN_PYTHON (-1) /* the length of a token that is in its slot */

/* What a compiled reader has beside the slots; Python sees it as `_room` and `_token`. */
typedef struct {
    Py_ssize_t room;
    Token token;
} Own;

static Py_ssize_t offset_own;
#define OWN(self) ((Own *)((char *)(self) + offset_own))

static PyTypeObject *patch_type;
static PyObject *steps[OTHER];
static PyObject *set, *append, *done, *empty, *quote;
static PyObject *name_feed, *name_read_on, *name_finish_value;

static void
keep(PyObject **slot, PyObject *stolen)
{
    PyObject *old = *slot;
    *slot = stolen;
    Py_XDECREF(old);
}

#define KEEP(name, stolen) keep(&SLOT(name), stolen)
#define KEEP_BOOL(name, value) KEEP(name, Py_NewRef((value) ? Py_True : Py_False))

/* Patches */

static PyObject *
new_patch(PyObject *path, PyObject *op, PyObject *value)
{
    PyObject *patch = patch_type->tp_alloc(patch_type, 3);
    if (patch != NULL) {
        PyTuple_SET_ITEM(patch, 0, Py_NewRef(path));
        PyTuple_SET_ITEM(patch, 1, Py_NewRef(op));
        PyTuple_SET_ITEM(patch, 2, Py_NewRef(value));
    }
    return patch;
}

static int
tell(PyObject *patches, PyObject *path, PyObject *op, PyObject *value)
{
    PyObject *patch = new_patch(path, op, value);
    int failed = patch == NULL || PyList_Append(patches, patch) < 0;
    Py_XDECREF(patch);
    return failed ? -1 : 0;
}

/* The path of what comes next in the box. */
static PyObject *
place(PyObject *self)
{
    PyObject *path = SLOT(path), *box = SLOT(box);
    Py_ssize_t depth = PyTuple_GET_SIZE(path);
    PyObject *at = PyTuple_New(depth + 1);
    if (at == NULL) {
        return NULL;
    }
    for (Py_ssize_t i = 0; i < depth; i++) {
        PyTuple_SET_ITEM(at, i, Py_NewRef(PyTuple_GET_ITEM(path, i)));
    }
    PyObject *last = PyList_CheckExact(box) ? PyLong_FromSsize_t(PyList_GET_SIZE(box))
                                            : Py_NewRef(SLOT(name));
    if (last == NULL) {
        Py_DECREF(at);
        return NULL;
    }
    PyTuple_SET_ITEM(at, depth, last);
    return at;
}

/* Puts `value` into the box and says so; `shown` is what the patch holds. Gives its path. */
static PyObject *
put(PyObject *self, PyObject *patches, PyObject *value, PyObject *shown)
{
    PyObject *box = SLOT(box), *at = place(self);
    if (at != NULL
        && ((PyList_CheckExact(box) ? PyList_Append(box, value)
                                    : PyDict_SetItem(box, SLOT(name), value)) < 0
            || tell(patches, at, set, shown) < 0)) {
        Py_CLEAR(at);
    }
    return at;
}

/* Puts the parts of a string that is whole into the box. */
static int
fold(PyObject *self)
{
    PyObject *box = SLOT(box), *at = SLOT(at), *parts = SLOT(parts);
    Py_ssize_t size = PyList_GET_SIZE(parts);
    if (size == 0) {
        return 0;
    }
    PyObject *last = PyTuple_GET_ITEM(at, PyTuple_GET_SIZE(at) - 1);
    PyObject *more = size == 1 ? Py_NewRef(PyList_GET_ITEM(parts, 0))
                               : PyUnicode_Join(empty, parts);
    PyObject *before = PyObject_GetItem(box, last);
    PyObject *whole = before && more ? PyUnicode_Concat(before, more) : NULL;
    int failed = whole == NULL || PyObject_SetItem(box, last, whole) < 0
        || PyList_SetSlice(parts, 0, size, NULL) < 0;
    Py_XDECREF(more);
    Py_XDECREF(before);
    Py_XDECREF(whole);
    return failed ? -1 : 0;
}

/* States */

static State
state_of(PyObject *step)
{
    for (int state = 0; state < OTHER; state++) {
        if (steps[state] == step) {
            return (State)state;
        }
    }
    return OTHER;
}

/* An object or array opens at `bracket`; 0 if it is nested too deep. */
static int
open_box(PyObject *self, PyObject *patches, Py_UCS4 bracket)
{
    Py_ssize_t most = PyLong_AsSsize_t(SLOT(max_depth));
    if (PyList_GET_SIZE(SLOT(stack)) >= most) {
        return PyErr_Occurred() ? -1 : 0;
    }
    PyObject *box = bracket == '[' ? PyList_New(0) : PyDict_New();
    PyObject *shown = bracket == '[' ? PyList_New(0) : PyDict_New();
    PyObject *outer = PyTuple_Pack(2, SLOT(box), SLOT(path));
    PyObject *at = box && shown && outer ? put(self, patches, box, shown) : NULL;
    int failed = at == NULL || PyList_Append(SLOT(stack), outer) < 0;
    Py_XDECREF(shown);
    Py_XDECREF(outer);
    if (failed) {
        Py_XDECREF(box);
        Py_XDECREF(at);
        return -1;
    }
    KEEP(box, box);
    KEEP(path, at);
    return 1;
}

/* The box at hand closes; 0 if Python must say what comes next. */
static int
close_box(PyObject *self, PyObject *patches)
{
    PyObject *stack = SLOT(stack);
    Py_ssize_t depth = PyList_GET_SIZE(stack);
    if (depth == 0) {
        PyErr_SetString(PyExc_SystemError, "a box closes that is not open");
        return -1;
    }
    PyObject *outer = PyList_GET_ITEM(stack, depth - 1);
    if (tell(patches, SLOT(path), done, Py_None) < 0) {
        return -1;
    }
    KEEP(box, Py_NewRef(PyTuple_GET_ITEM(outer, 0)));
    KEEP(path, Py_NewRef(PyTuple_GET_ITEM(outer, 1)));
    if (PyList_SetSlice(stack, depth - 1, depth, NULL) < 0) {
        return -1;
    }
    if (depth == 1 || (depth == 2 && SLOT(in_series) == Py_True)) {
        PyObject *none = PyObject_CallMethodNoArgs(self, name_finish_value);
        Py_XDECREF(none);
        return none == NULL ? -1 : 0;
    }
    return 1;
}

/* What stands before what comes, and now a blank: 1, or where a line begins 2 and how far in. */
static long
after_blank(long gap, Py_UCS4 c)
{
    return c == '\n' ? 2 : gap > 1 ? gap + 1 : 1;
}

/* Reads `object` from `pos` on as far as it is regular. Returns the position of what Python must
read, in the state that it finds; -1 if an exception was raised. */
static Py_ssize_t
run(PyObject *self, PyObject *object, Py_ssize_t pos, PyObject *patches)
{
    const Text whole = text_of(object), *text = &whole;
    Own *own = OWN(self);
    State state = state_of(SLOT(step));
    PyObject *value, *at;
    Py_ssize_t stop;
    Part part;
    int after_comma = SLOT(after_comma) == Py_True;
    long gap = PyLong_AsLong(SLOT(gap));

    if (state == OTHER || ((state == IN_NAME || state == SCALAR) && own->token.length == IN_PYTHON)) {
        return pos;
    }
    while (pos < text->end) {
        Py_UCS4 c = AT(text, pos);
        switch (state) {
        case STRING:
            part = string_part(text, pos, &stop, &value);
            if (part == FAILED) {
                return -1;
            }
            if (part == ODD) {
                goto out;
            }
            if (stop > pos
                && (tell(patches, SLOT(at), append, value) < 0
                    || PyList_Append(SLOT(parts), value) < 0)) {
                Py_DECREF(value);
                return -1;
            }
            Py_DECREF(value);
            if (part == WHOLE
                && (fold(self) < 0 || tell(patches, SLOT(at), done, Py_None) < 0)) {
                return -1;
            }
            goto part_read;
        case IN_NAME:
            for (stop = pos; stop < text->end; stop++) {
                c = AT(text, stop);
                if (c == '"' || c == '\\' || c < 0x20 || c > 0x7E) {
                    break;
                }
            }
            if (stop == text->end || c != '"') {
                if (add_to_token(&own->token, text, pos, stop)) {
                    pos = stop;
                }
                goto out;
            }
            if (own->token.length == 0) {
                value = PyUnicode_Substring(text->object, pos, stop);
            } else if (add_to_token(&own->token, text, pos, stop)) {
                value = PyUnicode_FromStringAndSize(own->token.text, own->token.length);
            } else {
                goto out;
            }
            if (value == NULL) {
                return -1;
            }
            switch (PyDict_Contains(SLOT(box), value)) {
            case -1:
                Py_DECREF(value);
                return -1;
            case 1:
                Py_DECREF(value);
                pos = own->token.length > 0 ? stop : pos; /* where the token ends */
                goto out;
            default:
                break;
            }
            KEEP(name, value);
            gap = 0;
            state = COLON;
            pos = stop + 1;
            break;
        case SCALAR:
            for (stop = pos; stop < text->end; stop++) {
                c = AT(text, stop);
                if (!is_of_scalar(c)) {
                    break;
                }
            }
            if (!add_to_token(&own->token, text, pos, stop)) {
                goto out;
            }
            pos = stop;
            if (pos == text->end || !(is_blank(c) || c == ',' || c == ']' || c == '}')) {
                goto out;
            }
            if ((value = scalar(&own->token)) == NULL) {
                goto out;
            }
            at = put(self, patches, value, value);
            Py_DECREF(value);
            if (at == NULL) {
                return -1;
            }
            Py_DECREF(at);
            goto finished;
        case AFTER_MEMBER:
        case AFTER_ITEM:
            if (is_blank(c)) {
                gap = after_blank(gap, c);
            } else if (c == ',') {
                after_comma = 1;
                state = state == AFTER_ITEM ? ITEM : KEY;
            } else if (c == (state == AFTER_ITEM ? ']' : '}')) {
                goto closing;
            } else {
                goto out;
            }
            pos++;
            break;
        case KEY:
        case FIRST_NAME:
            if (c == '"') {
                KEEP(closers, Py_NewRef(quote));
                own->token.length = 0;
                state = IN_NAME;
            } else if (c == '}' && state == FIRST_NAME) {
                goto closing;
            } else if (is_blank(c)) {
                gap = after_blank(gap, c);
            } else {
                goto out;
            }
            pos++;
            break;
        case COLON:
            if (c == ':') {
                state = VALUE;
            } else if (is_blank(c)) {
                gap = after_blank(gap, c);
            } else {
                goto out;
            }
            pos++;
            break;
        case VALUE:
        case ITEM:
        case FIRST_IN_LIST:
            if (c == '"') {
                part = string_part(text, pos + 1, &stop, &value);
                if (part == FAILED) {
                    return -1;
                }
                if (part == ODD) {
                    goto out;
                }
                at = put(self, patches, value, value);
                Py_DECREF(value);
                if (at == NULL) {
                    return -1;
                }
                if (part == WHOLE && tell(patches, at, done, Py_None) < 0) {
                    Py_DECREF(at);
                    return -1;
                }
                KEEP(at, at);
                goto part_read;
            }
            if (c == '-' || (c >= '0' && c <= '9') || c == 't' || c == 'f' || c == 'n') {
                own->token.length = 0;
                state = SCALAR;
                break;
            }
            if (c == '{' || c == '[') {
                switch (open_box(self, patches, c)) {
                case -1:
                    return -1;
                case 0:
                    goto out;
                default:
                    break;
                }
                gap = after_comma = 0;
                state = c == '[' ? FIRST_IN_LIST : FIRST_NAME;
            } else if (c == ']' && state == FIRST_IN_LIST) {
                goto closing;
            } else if (!is_blank(c)) {
                goto out;
            }
            pos++;
            break;
        default:
            goto out;

        part_read: /* of a string */
            if (part == WHOLE) {
                KEEP_BOOL(in_string, 0);
                pos = stop + 1;
                goto finished;
            }
            KEEP_BOOL(in_string, 1);
            KEEP(closers, Py_NewRef(quote));
            state = STRING;
            pos = text->end;
            if (part == CUT) {
                if ((value = PyUnicode_Substring(text->object, stop, text->end)) == NULL) {
                    return -1;
                }
                KEEP(held, value);
            }
            goto out;

        closing:
            pos++;
            switch (close_box(self, patches)) {
            case -1:
                return -1;
            case 0:
                return pos;
            default:
                goto finished;
            }

        finished: /* a value within another */
            gap = after_comma = 0;
            state = PyList_CheckExact(SLOT(box)) ? AFTER_ITEM : AFTER_MEMBER;
            break;
        }
    }
out:
    if ((value = PyLong_FromLong(gap)) == NULL) {
        return -1;
    }
    KEEP(gap, value);
    KEEP(step, Py_NewRef(steps[state]));
    KEEP_BOOL(after_comma, after_comma);
    return pos;
}

/* Methods */

static int
has_surrogates(PyObject *object)
{
    const Text text = text_of(object);
    for (Py_ssize_t pos = 0; text.kind != PyUnicode_1BYTE_KIND && pos < text.end; pos++) {
        if (AT(&text, pos) >= 0xD800 && AT(&text, pos) <= 0xDFFF) {
            return 1;
        }
    }
    return 0;
}

/* `chunk` as text, if it is that without a closer look; NULL, without an error, if not. */
static PyObject *
plain_text(PyObject *chunk)
{
    if (PyUnicode_CheckExact(chunk)) {
#if PY_VERSION_HEX < 0x030C0000
        if (PyUnicode_READY(chunk) < 0) {
            PyErr_Clear();
            return NULL;
        }
#endif
        return has_surrogates(chunk) ? NULL : Py_NewRef(chunk);
    }
    if (PyBytes_CheckExact(chunk)) {
        PyObject *text = PyUnicode_DecodeASCII(PyBytes_AS_STRING(chunk), PyBytes_GET_SIZE(chunk),
                                               NULL);
        if (text == NULL) {
            PyErr_Clear();
        }
        return text;
    }
    return NULL;
}

/* In a string, a piece that is nothing but more of it. */
static PyObject *
more_of_string(PyObject *self, PyObject *text)
{
    PyObject *patch = new_patch(SLOT(at), append, text), *patches = PyList_New(1);
    if (patch == NULL || patches == NULL || PyList_Append(SLOT(parts), text) < 0) {
        Py_XDECREF(patch);
        Py_XDECREF(patches);
        return NULL;
    }
    PyList_SET_ITEM(patches, 0, patch);
    return patches;
}

static int
is_plain(PyObject *object)
{
    const Text text = text_of(object);
    for (Py_ssize_t pos = 0; pos < text.end; pos++) {
        Py_UCS4 c = AT(&text, pos);
        if (c == '"' || c == '\\' || c < 0x20) {
            return 0;
        }
    }
    return text.end > 0;
}

static PyObject *
feed(PyObject *self, PyObject *chunk)
{
    Own *own = OWN(self);
    PyObject *text = plain_text(chunk), *patches = NULL;
    if (text == NULL || PyUnicode_GET_LENGTH(text) >= own->room) {
        Py_XDECREF(text);
        return PyObject_CallMethodOneArg(self, name_feed, chunk);
    }
    own->room -= PyUnicode_GET_LENGTH(text);
    if (PyUnicode_GET_LENGTH(SLOT(held)) > 0) {
        PyObject *both = PyUnicode_Concat(SLOT(held), text);
        Py_DECREF(text);
        if (both == NULL) {
            return NULL;
        }
        text = both;
        KEEP(held, Py_NewRef(empty));
    }
    int regular = SLOT(dropped) == Py_None;
    if (regular && SLOT(step) == steps[STRING] && is_plain(text)) {
        patches = more_of_string(self, text);
    } else if ((patches = PyList_New(0)) != NULL) {
        Py_ssize_t pos = regular ? run(self, text, 0, patches) : 0;
        if (pos < 0) {
            Py_CLEAR(patches);
        } else if (pos < PyUnicode_GET_LENGTH(text)) {
            KEEP(patches, Py_NewRef(patches));
            PyObject *at = PyLong_FromSsize_t(pos);
            PyObject *none = at == NULL ? NULL
                : PyObject_CallMethodObjArgs(self, name_read_on, text, at, NULL);
            Py_XDECREF(at);
            if (none == NULL) {
                Py_CLEAR(patches);
            }
            Py_XDECREF(none);
        }
    }
    Py_DECREF(text);
    return patches;
}

static PyObject *
regularly(PyObject *self, PyObject *args)
{
    PyObject *text;
    Py_ssize_t pos, end;
    if (!PyArg_ParseTuple(args, "Unn", &text, &pos, &end)) {
        return NULL;
    }
    if ((pos = run(self, text, pos, SLOT(patches))) < 0) {
        return NULL;
    }
    if (pos == end) {
        return PyLong_FromSsize_t(pos);
    }
    PyObject *read = PyTuple_GET_ITEM(SLOT(step), 0); /* of a Step */
    return PyObject_CallFunction(read, "OOn", self, text, pos);
}

static PyMethodDef methods[] = {
    {"feed", feed, METH_O,
     PyDoc_STR("feed($self, chunk, /)\n--\n\n"
               "Read on; returns what that added, in order. After the end of the value: nothing.")},
    {"_regularly", regularly, METH_VARARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyObject *
get_room(PyObject *self, void *Py_UNUSED(closure))
{
    return PyLong_FromSsize_t(OWN(self)->room);
}

static int
set_room(PyObject *self, PyObject *value, void *Py_UNUSED(closure))
{
    Py_ssize_t room = value == NULL ? 0 : PyNumber_AsSsize_t(value, NULL);
    if (room == -1 && PyErr_Occurred()) {
        return -1;
    }
    OWN(self)->room = room;
    return 0;
}

static PyObject *
get_token(PyObject *self, void *Py_UNUSED(closure))
{
    Own *own = OWN(self);
    if (own->token.length != IN_PYTHON) {
        PyObject *token = Py_BuildValue("[s#]", own->token.text, (Py_ssize_t)own->token.length);
        if (token == NULL) {
            return NULL;
        }
        own->token.length = IN_PYTHON;
        KEEP(token, token);
    }
    return Py_XNewRef(SLOT(token));
}

static int
set_token(PyObject *self, PyObject *value, void *Py_UNUSED(closure))
{
    OWN(self)->token.length = IN_PYTHON;
    KEEP(token, Py_XNewRef(value));
    return 0;
}

static PyGetSetDef attributes[] = {
    {"_room", get_room, set_room, NULL, NULL},
    {"_token", get_token, set_token, NULL, NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static int
find_slot(PyTypeObject *base, const char *name, Py_ssize_t *offset)
{
    PyObject *found = PyObject_GetAttrString((PyObject *)base, name);
    if (found == NULL) {
        return -1;
    }
    int is_slot = Py_IS_TYPE(found, &PyMemberDescr_Type);
    if (is_slot) {
        *offset = ((PyMemberDescrObject *)found)->d_member->offset;
    } else {
        PyErr_Format(PyExc_TypeError, "%s is no slot of %s", name, base->tp_name);
    }
    Py_DECREF(found);
    return is_slot ? 0 : -1;
}

static PyObject *
derive(PyObject *Py_UNUSED(module), PyObject *args)
{
    PyTypeObject *base, *patch;
    PyObject *all;
    if (!PyArg_ParseTuple(args, "O!O!O!", &PyType_Type, &base, &PyType_Type, &patch, &PyTuple_Type,
                          &all)) {
        return NULL;
    }
    if (PyTuple_GET_SIZE(all) != OTHER || !PyType_IsSubtype(patch, &PyTuple_Type)) {
        PyErr_SetString(PyExc_TypeError, "these are not the states and the type of a patch");
        return NULL;
    }
#define FIND(name) if (find_slot(base, "_" #name, &offset_##name) < 0) { return NULL; }
    SLOTS(FIND)
    keep((PyObject **)&patch_type, Py_NewRef((PyObject *)patch));
    for (int state = 0; state < OTHER; state++) {
        keep(&steps[state], Py_NewRef(PyTuple_GET_ITEM(all, state)));
    }
    offset_own = base->tp_basicsize;
    PyType_Slot slots[] = {{Py_tp_methods, methods}, {Py_tp_getset, attributes}, {0, NULL}};
    PyType_Spec spec = {"foretell.operators.partials.PartialParser",
                        (int)(offset_own + (Py_ssize_t)sizeof(Own)), 0,
                        Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE, slots};
    return PyType_FromSpecWithBases(&spec, (PyObject *)base);
}

static PyMethodDef functions[] = {
    {"derive", derive, METH_VARARGS,
     PyDoc_STR("The compiled subclass of a parser, its type of patches, and its states.")},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, "_partial_core", "The fast paths of PartialParser, compiled.", -1,
    functions, NULL, NULL, NULL, NULL,
};

PyMODINIT_FUNC
PyInit__partial_core(void)
{
    set = PyUnicode_InternFromString("set");
    append = PyUnicode_InternFromString("append");
    done = PyUnicode_InternFromString("done");
    empty = PyUnicode_InternFromString("");
    quote = PyUnicode_InternFromString("\"");
    name_feed = PyUnicode_InternFromString("_feed");
    name_read_on = PyUnicode_InternFromString("_read_on");
    name_finish_value = PyUnicode_InternFromString("_finish_value");
    if (!set || !append || !done || !empty || !quote || !name_feed || !name_read_on
        || !name_finish_value) {
        return NULL;
    }
    return PyModule_Create(&definition);
}
