"""This package beside the other engines that could compute or replace its vectors."""
